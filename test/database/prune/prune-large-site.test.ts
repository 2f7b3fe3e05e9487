/** What pruning a site as large as Debian's reads. */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import { sql } from 'kysely';

import { OPEN } from '../../../src/database/catalog/write-members.ts';
import { type Database } from '../../../src/database/orm.ts';
import { markRows, markUnneeded } from '../../../src/database/prune/mark-unneeded.ts';
import { all, one, run } from '../../../src/database/sql.ts';
import { FRA, marked, PRUNING, sparing } from './prune-fixture.ts';

const OLD = 300;
const NEW = 60_000;

/**
 * A suite as large as Debian's: a generation that is not kept has 300 files of its own, the newest
 * has 60,000.
 */
async function aLargeSite(t: TestContext) {
  const { db, fra } = await sparing(t);
  await db.transaction(async (tx) => {
    await run(
      tx,
      sql`
        insert into paths (archive_id, path)
        select a.id, 'pool/' || n || '.deb'
        from archives a, generate_series(1, ${OLD + NEW}::int) n`,
    );
    await run(
      tx,
      sql`
        insert into blobs (path_id, size, sha256)
        select id, 100, sha256(path::bytea)
        from paths`,
    );
    await run(
      tx,
      sql`
        insert into snapshot_blobs (distribution_id, blob_id, from_generation, to_generation)
        select d.id, b.id,
          case when b.id <= ${OLD} then 1 else 2 end,
          case when b.id <= ${OLD} then 2 else ${OPEN}::int end
        from blobs b, debian_distributions d
        where d.name = 'stable'`,
    );
    await run(
      tx,
      sql`
        insert into distribution_snapshots (
          distribution_id, generation, in_release, body_sha256, signers, untorn,
          blob_count, blob_bytes
        )
        select id, g, '', sha256(''), '{}', true,
          case g when 1 then ${OLD}::int else ${NEW}::int end, 1
        from debian_distributions, generate_series(1, 2) g
        where name = 'stable'`,
    );
    await run(
      tx,
      sql`
        update debian_distributions
        set latest_generation = 2
        where name = 'stable'`,
    );
    await run(
      tx,
      sql`
        insert into blob_registry (site_id, path_id, blob_id, state, verification_state, etag)
        select s.id, b.path_id, b.id, 2, 2, '"1"'
        from blobs b, replication_sites s
        where s.name = ${FRA}`,
    );
  });
  await run(db.read, sql`analyze`);
  return { db, fra };
}

/**
 * Runs work in one transaction, and counts the rows that it read of the large tables, and how often
 * it read one of them whole.
 */
async function reading(
  db: Database,
  work: (inside: Database) => Promise<unknown>,
): Promise<{ rows: number; scans: number }> {
  return db.transaction(async (tx) => {
    const count = () =>
      one(
        tx,
        sql<{ rows: number; scans: number }>`
          select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint as rows,
            sum(seq_scan)::bigint as scans
          from pg_stat_xact_user_tables
          where relname in ('blob_registry', 'snapshot_blobs', 'blobs', 'paths')`,
      );
    // What earlier transactions of this connection have not reported yet.
    const before = (await count())!;
    await work({ ...db, read: tx, transaction: (inner) => inner(tx) });
    const after = (await count())!;
    return { rows: after.rows - before.rows, scans: after.scans - before.scans };
  });
}

test('marking reads what it marks and no more; finding reads each row a few times', async (t) => {
  const { db, fra } = await aLargeSite(t);
  const rows = await all(
    db.read,
    sql<{
      id: number;
      archiveId: number;
    }>`select id, archive_id as "archiveId" from paths where id <= ${OLD}`,
  );
  const pathIds = rows.map((row) => row.id);

  const found = await reading(db, (inside) => markUnneeded(inside, fra));
  await run(
    db.read,
    sql`
      update blob_registry
      set state = 2, verification_state = 2
      where state = ${PRUNING}`,
  );
  const marking = await reading(db, (inside) => markRows(inside, fra, rows[0]!.archiveId, pathIds));

  assert.equal((await marked(db, fra)).length, OLD);
  assert.ok(found.rows <= 12 * (OLD + NEW), `${found.rows} rows read`);
  assert.equal(marking.scans, 0);
  assert.ok(marking.rows <= 20 * OLD, `${marking.rows} rows read`);
});
