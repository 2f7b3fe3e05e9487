/** A database of the version before claims, with lanes in the middle of their work. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { sql } from 'kysely';

import { connectDatabase } from '../../../src/database/orm.ts';
import { claimMarked } from '../../../src/database/prune/marked-blobs.ts';
import { startDeleting } from '../../../src/database/prune/prunes.ts';
import { claimBlobs } from '../../../src/database/registry/claims.ts';
import { startAttempt } from '../../../src/database/replications/attempts.ts';
import { migrate } from '../../../src/database/server/migrate.ts';
import { all, one, run } from '../../../src/database/sql.ts';
import { replicationOf } from '../../support/replication-of.ts';
import { freshDatabase } from '../../support/servers.ts';

const BEFORE = '2026-11-23-registry-updates';
const AT = { distribution: 'stable', site: 'fra' };
const YEAR_MS = 365 * 24 * 60 * 60_000;

test('lanes that are at work when the database is upgraded go on', async (t) => {
  const db = await connectDatabase(await freshDatabase());
  t.after(() => db.close());
  const { read } = db;
  await db.orm.migrator.up({ to: BEFORE });
  // An attempt of a clock that is a year ahead has claimed three blobs; prune deletes a fourth.
  const attempt = Date.now() + YEAR_MS;
  for (const statement of [
    sql`insert into archives (name, url, mount) values ('debian', '', 'debian')`,
    sql`
      insert into replication_sites (name, account_url, container, public_url, credential)
      values ('fra', '', 'c', '', '{"env": "X"}')`,
    sql`
      insert into debian_distributions (name, archive_id, suite, latest_generation)
      values ('stable', 1, 'stable', 1)`,
    sql`
      insert into distribution_replications
        (distribution_id, site_id, desired_generation, pinned_generation, state, fence, files_done)
      values (1, 1, 1, 1, 'started', ${attempt}, 7)`,
    sql`insert into paths (archive_id, path) select 1, 'pool/' || n from generate_series(1, 4) n`,
    sql`insert into blobs (path_id, size, sha256) select id, 1, sha256('') from paths`,
    sql`
      insert into snapshot_blobs (distribution_id, blob_id, from_generation)
      select 1, id, 1 from blobs`,
    sql`
      insert into blob_registry (site_id, path_id, blob_id, state, attempt)
      select 1, path_id, id, case when id = 4 then 4 else 1 end, ${attempt} from blobs`,
    sql`insert into prunes (site_id, next_at) values (1, now())`,
  ])
    await run(read, statement);

  await migrate(db);

  const { ticket, filesDone } = await replicationOf(read, AT);
  assert.ok(ticket! > attempt);
  assert.equal(filesDone, 7);
  const begun = await startAttempt(db, AT, { generation: 1, ticket: ticket!, attempt: 1 });
  assert.ok('key' in begun);
  assert.equal((await claimBlobs(db, begun.key, 10, 10)).length, 3);
  const pruning = await startDeleting(db, 'fra', null, 1);
  assert.ok('claim' in pruning);
  assert.equal((await claimMarked(db, pruning, 10)).length, 1);
  const taken = await all(read, sql<{ attempt: number }>`select attempt from blob_registry`);
  assert.deepEqual(
    taken.map((row) => row.attempt),
    [0, 0, 0, 0],
    'an attempt of the version before books nothing any more',
  );

  await db.orm.migrator.down({ to: BEFORE });
  await migrate(db);
  const again = await one(
    read,
    sql<{ count: number }>`
    select count(*) from blob_registry where state = 0`,
  );
  assert.equal(again!.count, 3);
});
