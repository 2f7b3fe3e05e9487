/** What waits for a person: it tries again every hour, and sooner when something has changed. */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import { sql } from 'kysely';

import { applyConfiguration } from '../../../src/database/configuration/apply-configuration.ts';
import { readSite } from '../../../src/database/configuration/sites.ts';
import type { Database } from '../../../src/database/orm.ts';
import { planBlobs } from '../../../src/database/registry/plan-blobs.ts';
import type { LaneAt } from '../../../src/database/replication-row.ts';
import { applyCommand } from '../../../src/database/replications/commands.ts';
import { recordFailure } from '../../../src/database/replications/failures.ts';
import { lockLane } from '../../../src/database/replications/lock.ts';
import { wakeOfSite } from '../../../src/database/replications/parked.ts';
import { all, one, run } from '../../../src/database/sql.ts';
import { listWantedDistributions } from '../../../src/database/views/work.ts';
import { DebgeoError, type ErrorCode } from '../../../src/domain/errors.ts';
import { LIMITS } from '../../../src/domain/limits.ts';
import { isDue, type Replication } from '../../../src/domain/replication.ts';
import { aConfiguration } from '../../support/configuration.ts';
import { replicationOf } from '../../support/replication-of.ts';
import { aDatabase, capture, plan, serve, start } from '../lanes-fixture.ts';
import { keep, prune } from '../prune/prune-fixture.ts';

const FRA: LaneAt = { distribution: 'stable', site: 'fra' };
const SIN: LaneAt = { distribution: 'stable', site: 'sin' };
const TESTING: LaneAt = { distribution: 'testing', site: 'fra' };
const MINUTE = 60_000;

async function fail(db: Database, at: LaneAt, code: ErrorCode): Promise<Replication> {
  await start(db, at.distribution, (await replicationOf(db.read, at)).target, at.site);
  return (await recordFailure(db, at, { code, message: code }, null))!;
}

/** As if so much time had passed since every failure. */
const pass = (db: Database, ms: number) =>
  run(
    db.read,
    sql`
      update incidents
      set last_at = last_at - ${ms} * interval '1 millisecond'`,
  );

const isWoken = async (db: Database, at: LaneAt): Promise<boolean> => {
  const { state, retryAt } = await replicationOf(db.read, at);
  return state === 'failed' && retryAt! <= Date.now();
};

const unseen = async (db: Database): Promise<string[]> =>
  (await listWantedDistributions(db)).filter((one) => one.isUnseen).map(({ name }) => name);

async function captured(t: TestContext): Promise<Database> {
  const db = await aDatabase(t);
  for (const name of ['stable', 'testing']) await capture(db, name, { 'pool/a.deb': 'a' });
  await run(db.read, sql`update debian_distributions set seen_rev = changed_rev`);
  return db;
}

test('a parked lane tries again within the hour; one incident counts', async (t) => {
  const db = await captured(t);
  for (let times = 1; times <= 3; times += 1) {
    const { retryAt, state } = await fail(db, FRA, 'SITE_DENIED');
    const wait = retryAt! - Date.now();
    assert.equal(state, 'failed');
    assert.ok(wait <= 60 * MINUTE && wait > 54 * MINUTE, `${wait} ms`);
  }
  const incidents = await all(
    db.read,
    sql<{ code: string; times: number }>`select code, times from incidents`,
  );
  assert.deepEqual(incidents, [{ code: 'SITE_DENIED', times: 3 }]);
});

test('what failed so is said while it tries again, until that went well', async (t) => {
  const db = await captured(t);
  const parked = await fail(db, FRA, 'SITE_DENIED');
  await start(db, 'stable', 1);
  const trying = await replicationOf(db.read, FRA);
  await serve(db, 'stable', 1, 'sin');
  await serve(db, 'stable', 1);
  const served = await replicationOf(db.read, FRA);

  assert.deepEqual([parked.distributionStatus, trying.state], ['failed', 'started']);
  assert.equal(trying.distributionStatus, 'failed');
  assert.equal(served.distributionStatus, 'success');
});

test('a newer release wakes what it may help, and what an operator holds stays held', async (t) => {
  const db = await captured(t);
  const seen: Record<string, boolean> = {};
  for (const code of [
    'PATH_CONFLICT',
    'SITE_DENIED',
    'BLOB_MISSING',
    'SITE_UNREACHABLE',
  ] as const) {
    await fail(db, FRA, code);
    await capture(db, 'stable', { 'pool/a.deb': 'a', [`pool/${code}.deb`]: code });
    seen[code] = await isWoken(db, FRA);
  }
  assert.deepEqual(seen, {
    PATH_CONFLICT: true,
    SITE_DENIED: true,
    BLOB_MISSING: true,
    SITE_UNREACHABLE: false,
  });

  await fail(db, FRA, 'PATH_CONFLICT');
  await applyCommand(db, FRA, { paused: true }, null);
  await fail(db, SIN, 'PATH_CONFLICT');
  await applyCommand(db, SIN, { want: 'cancel' }, null);
  await wakeOfSite(db.read, (await readSite(db.read, 'sin')).id);
  const [paused, cancelled] = [
    await replicationOf(db.read, FRA),
    await replicationOf(db.read, SIN),
  ];
  assert.deepEqual([paused.paused, cancelled.state], [true, 'cancelled']);
  for (const row of [paused, cancelled])
    assert.equal(isDue(row, Date.now() + 24 * 60 * MINUTE), false);
});

test('an answer of the site wakes what waited for it there, and tells the workflow', async (t) => {
  const db = await captured(t);
  const { id: fra } = await readSite(db.read, 'fra');
  await fail(db, FRA, 'SITE_DENIED');
  await fail(db, SIN, 'SITE_DENIED');
  await fail(db, TESTING, 'PATH_CONFLICT');
  const woken = async () => Promise.all([FRA, SIN, TESTING].map((at) => isWoken(db, at)));

  await wakeOfSite(db.read, fra);
  assert.deepEqual([await woken(), await unseen(db)], [[false, false, false], []], 'a moment ago');
  await pass(db, LIMITS.wakeMs + MINUTE);
  await wakeOfSite(db.read, fra);

  assert.deepEqual([await woken(), await unseen(db)], [[true, false, false], ['stable']]);
});

test('a lane that serves its site wakes the others there', async (t) => {
  for (const code of ['SITE_CONTAINER_MISSING', 'SITE_UNREACHABLE', 'SITE_THROTTLED'] as const) {
    const db = await captured(t);
    await fail(db, FRA, code);
    await pass(db, 20 * MINUTE);
    await serve(db, 'testing', 1);
    assert.equal(await isWoken(db, FRA), code !== 'SITE_THROTTLED', code);
  }
});

test('an apply that changes the site wakes its lanes', async (t) => {
  const db = await captured(t);
  const apply = (env: string) =>
    applyConfiguration(
      db,
      aConfiguration({
        sites: { fra: { credential: { env } }, sin: {} },
        distributions: { stable: { primary: 'sin' }, testing: { primary: 'sin' } },
      }),
      false,
    );
  await apply('NONE');
  await fail(db, FRA, 'SITE_DENIED');
  await fail(db, SIN, 'SITE_DENIED');
  await apply('NONE');
  assert.equal(await isWoken(db, FRA), false, 'nothing changed');
  await apply('OTHER');
  assert.deepEqual([await isWoken(db, FRA), await isWoken(db, SIN)], [true, false]);
});

test('an apply that changes the archive wakes its lanes, and has it looked at', async (t) => {
  const db = await captured(t);
  const apply = (insecure: boolean) =>
    applyConfiguration(
      db,
      aConfiguration({
        archive: { insecure },
        sites: ['fra', 'sin'],
        distributions: { stable: { primary: 'sin' }, testing: { primary: 'sin' } },
      }),
      false,
    );
  const looks = async () =>
    all(
      db.read,
      sql<{ anew: boolean }>`
        select next_look_at <= now() and in_release_etag is null as anew
        from debian_distributions`,
    );
  await run(
    db.read,
    sql`
      update debian_distributions
      set in_release_etag = '"1"', next_look_at = now() + interval '1 day'`,
  );
  for (const lane of [FRA, TESTING]) await fail(db, lane, 'REFERENCE_REFUSED');

  await apply(false);
  assert.equal(await isWoken(db, FRA), false, 'nothing changed');
  assert.deepEqual(await looks(), [{ anew: false }, { anew: false }]);
  await apply(true);
  assert.deepEqual([await isWoken(db, FRA), await isWoken(db, TESTING)], [true, true]);
  assert.deepEqual(await looks(), [{ anew: true }, { anew: true }]);
});

/** Testing wants other bytes at a path than stable has put there. */
async function conflicting(t: TestContext): Promise<Database> {
  const db = await captured(t);
  await keep(db, 0, 1);
  await serve(db, 'stable', 1);
  const generation = await capture(db, 'testing', { 'pool/a.deb': 'other' });
  const lane = await start(db, 'testing', generation);
  const error = await db
    .transaction((tx) => planBlobs(tx, lane))
    .then(
      () => null,
      (thrown: unknown) => thrown,
    );
  assert.ok(error instanceof DebgeoError && error.code === 'PATH_CONFLICT');
  await recordFailure(db, TESTING, error.report, null);
  return db;
}

test('a prune that frees the path wakes the lane that waits for it', async (t) => {
  const db = await conflicting(t);
  const { id: fra } = await readSite(db.read, 'fra');
  await serve(db, 'stable', await capture(db, 'stable', { 'pool/b.deb': 'b' }));
  await serve(db, 'stable', await capture(db, 'stable', { 'pool/c.deb': 'c' }));
  await run(db.read, sql`update debian_distributions set seen_rev = changed_rev`);

  assert.deepEqual(await prune(db, fra), ['pool/a.deb', 'pool/b.deb']);

  assert.deepEqual([await isWoken(db, TESTING), await unseen(db)], [true, ['testing']]);
  await plan(db, 'testing', (await replicationOf(db.read, TESTING)).target);
});

test('a prune that frees another path wakes nothing', async (t) => {
  const db = await conflicting(t);
  const { id: fra } = await readSite(db.read, 'fra');
  await serve(db, 'stable', await capture(db, 'stable', { 'pool/a.deb': 'a', 'pool/b.deb': 'b' }));
  await serve(db, 'stable', await capture(db, 'stable', { 'pool/a.deb': 'a' }));

  assert.deepEqual(await prune(db, fra), ['pool/b.deb']);

  assert.equal(await isWoken(db, TESTING), false);
});

test('waking waits for no lane, and passes by what is locked', async (t) => {
  const db = await captured(t);
  const { id: fra } = await readSite(db.read, 'fra');
  await fail(db, FRA, 'SITE_DENIED');
  await fail(db, TESTING, 'SITE_DENIED');
  await pass(db, 20 * MINUTE);
  await db.transaction(async (tx) => {
    await lockLane(tx, FRA);
    await wakeOfSite(db.read, fra);
  });
  assert.deepEqual([await isWoken(db, FRA), await isWoken(db, TESTING)], [false, true]);
});

test('a worker of the version before parks for an hour, not for ever', async (t) => {
  const db = await captured(t);
  await run(
    db.read,
    sql`
      update distribution_replications
      set state = 'failed', failure_code = 'SITE_DENIED', retry_at = null`,
  );
  const row = await one(
    db.read,
    sql<{ n: number }>`
      select count(*) as n
      from distribution_replications
      where retry_at between now() + interval '59 minutes' and now() + interval '61 minutes'`,
  );
  assert.equal(row!.n, 4);
});
