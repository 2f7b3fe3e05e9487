/** A database of the version before parked lanes woke, with one that is parked. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { sql } from 'kysely';

import { connectDatabase } from '../../../src/database/orm.ts';
import { migrate } from '../../../src/database/server/migrate.ts';
import { one, run } from '../../../src/database/sql.ts';
import { listWantedDistributions } from '../../../src/database/views/work.ts';
import { replicationOf } from '../../support/replication-of.ts';
import { freshDatabase } from '../../support/servers.ts';

const BEFORE = '2026-11-30-scrubs';

test('a lane that is parked at an upgrade tries again within the hour', async (t) => {
  const db = await connectDatabase(await freshDatabase());
  t.after(() => db.close());
  const { read } = db;
  await db.orm.migrator.up({ to: BEFORE });
  for (const statement of [
    sql`insert into archives (name, url, mount) values ('debian', '', 'debian')`,
    sql`
      insert into replication_sites (name, account_url, container, public_url, credential)
      values ('fra', '', 'c', '', '{"env": "X"}'), ('sin', '', 'd', '', '{"env": "X"}')`,
    sql`
      insert into debian_distributions (name, archive_id, suite, latest_generation)
      values ('stable', 1, 'stable', 1), ('testing', 1, 'testing', 1)`,
    sql`
      insert into distribution_replications
        (distribution_id, site_id, desired_generation, state, failure_code, retry_at)
      values (1, 1, 1, 'failed', 'SITE_DENIED', null), (1, 2, 1, 'synced', null, null),
        (2, 1, 1, 'failed', 'SITE_UNREACHABLE', now() + interval '1 minute')`,
  ])
    await run(read, statement);
  const revOf = async () =>
    (await one(
      read,
      sql<{ rev: number }>`select rev from distribution_replications where state = 'synced'`,
    ))!.rev;
  const before = await revOf();

  await migrate(db);

  const parked = await replicationOf(read, { distribution: 'stable', site: 'fra' });
  assert.equal(parked.state, 'failed');
  assert.ok(parked.retryAt! - Date.now() <= 60 * 60_000, 'within the hour');
  assert.equal(await revOf(), before);
  const unseen = (await listWantedDistributions(db)).filter((one) => one.isUnseen);
  assert.deepEqual(
    unseen.map(({ name }) => name),
    ['stable'],
    'a run that goes on is told',
  );

  await db.orm.migrator.down({ to: BEFORE });
  await migrate(db);
});
