/** Which state follows from when a site was read back last; time is moved in the rows. */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import { sql } from 'kysely';

import { applyConfiguration } from '../../../src/database/configuration/apply-configuration.ts';
import { connectDatabase, type Database } from '../../../src/database/orm.ts';
import { rollUpOverdue } from '../../../src/database/scrub/end-pass.ts';
import { migrate } from '../../../src/database/server/migrate.ts';
import { all, one, run } from '../../../src/database/sql.ts';
import { readScrubCosts, readScrubs } from '../../../src/database/views/scrubs.ts';
import { readStatus } from '../../../src/database/views/status.ts';
import { listWantedDistributions } from '../../../src/database/views/work.ts';
import { aConfiguration } from '../../support/configuration.ts';
import { freshDatabase } from '../../support/servers.ts';
import { aDatabase, capture, SIZE, serve } from '../lanes-fixture.ts';

const DAY = 86_400_000;

/** Two sites that serve what was captured last. */
async function serving(t: TestContext): Promise<Database> {
  const db = await aDatabase(t);
  const generation = await capture(db, 'stable', { 'pool/a.deb': 'a' });
  for (const site of ['fra', 'sin']) await serve(db, 'stable', generation, site);
  return db;
}

/** As if so much time had passed since the rows of this site were written. */
const later = (db: Database, ms: number, site = 'sin') =>
  run(
    db.read,
    sql`
      update scrubs
      set since = since - ${ms} * interval '1 millisecond',
        last_started_at = last_started_at - ${ms} * interval '1 millisecond'
      where site_id = (select id from replication_sites where name = ${site})`,
  );

const shown = async (db: Database) => (await readStatus(db, 'stable'))[0]!;
const stored = async (db: Database) =>
  (await one(
    db.read,
    sql<{ status: string }>`
      select replication_status as status
      from debian_distributions
      where name = 'stable'`,
  ))!.status;
const open = (db: Database) =>
  all(
    db.read,
    sql<{ code: string; site: string }>`
      select i.code, s.name as site
      from incidents i
      join replication_sites s on s.id = i.site_id
      where i.resolved_at is null`,
  );

test('a site that was not read back for two intervals is no success, worker or not', async (t) => {
  const db = await serving(t);
  await later(db, 59 * DAY);
  assert.deepEqual([(await shown(db)).status, await rollUpOverdue(db)], ['success', 0]);

  await later(db, 2 * DAY);

  const { status, sites } = await shown(db);
  assert.equal(status, 'pending');
  assert.deepEqual(
    sites.map(({ site, scrub }) => [site, scrub!.overdue]),
    [
      ['sin', true],
      ['fra', false],
    ],
  );
  // What a view that trusts the stored state would show: it was written when all was well.
  assert.equal(await stored(db), 'success');
});

test('the reconciliation of a worker puts it on record, once, and ends it', async (t) => {
  const db = await serving(t);
  await later(db, 61 * DAY);

  assert.deepEqual([await rollUpOverdue(db), await rollUpOverdue(db)], [2, 0]);

  assert.equal(await stored(db), 'pending');
  const behind = { code: 'SCRUB_BEHIND', site: 'sin' };
  assert.deepEqual(await open(db), [behind, behind], 'of both distributions');
  const wanted = await listWantedDistributions(db);
  assert.ok(
    wanted.every(({ isUnseen }) => isUnseen),
    'their workflows see it',
  );

  await run(db.read, sql`update scrubs set last_started_at = now()`);
  assert.equal((await shown(db)).status, 'pending', 'as stored');
  await rollUpOverdue(db);
  assert.deepEqual([await stored(db), await open(db)], ['success', []]);
});

test('a scrub that is off or has another interval is never behind at once', async (t) => {
  const db = await serving(t);
  await later(db, 100 * DAY);
  const apply = async (scrub: number | null | undefined) => {
    const sites = { fra: {}, sin: scrub === undefined ? {} : { scrub } };
    const distributions = { stable: { primary: 'sin' }, testing: { primary: 'sin' } };
    await applyConfiguration(db, aConfiguration({ sites, distributions }), false);
    await rollUpOverdue(db);
    return (await readScrubs(db, 'sin'))[0]!;
  };
  assert.equal((await apply(undefined)).overdue, true, 'nothing was changed');

  const off = await apply(null);
  assert.deepEqual([off.overdue, off.nextAt, await stored(db)], [false, null, 'success']);

  const weekly = await apply(7 * DAY);
  assert.equal(weekly.overdue, false);
  assert.ok(weekly.nextAt! > Date.now() - 1_000 && weekly.nextAt! < Date.now() + 0.7 * DAY);
  await later(db, 15 * DAY);
  assert.equal((await readScrubs(db, 'sin'))[0]!.overdue, true);
});

test('what a pass costs is known before it begins', async (t) => {
  const db = await serving(t);

  assert.deepEqual(await readScrubCosts(db, 'fra'), [
    { site: 'fra', intervalMs: 30 * DAY, files: 1, bytes: SIZE },
  ]);
});

test('sites of before get 30 days from now, and begin at different times', async (t) => {
  const db = await connectDatabase(await freshDatabase());
  t.after(() => db.close());
  await db.orm.migrator.up({ to: '2026-11-30-seen-rev' });
  await run(
    db.read,
    sql`
      insert into replication_sites
        (name, account_url, container, public_url, credential, enabled)
      select 's' || n, 'http://127.0.0.1:1/' || n, 'c', '', '{"env": "X"}', n > 1
      from generate_series(1, 9) n`,
  );

  await migrate(db);

  const scrubs = await readScrubs(db);
  assert.equal(scrubs.length, 8);
  assert.ok(scrubs.every(({ intervalMs, overdue }) => intervalMs === 30 * DAY && !overdue));
  assert.equal(new Set(scrubs.map(({ nextAt }) => nextAt)).size, 8);
  assert.ok(scrubs.every(({ nextAt }) => nextAt! < Date.now() + 3 * DAY + 60_000));

  await db.orm.migrator.down({ to: '2026-11-30-seen-rev' });
  await migrate(db);
  assert.equal((await readScrubs(db)).length, 8);
});
