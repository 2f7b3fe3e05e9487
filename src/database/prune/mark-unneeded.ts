/**
 * Marking what a site may lose. It is found without a lock, and marked under the exclusive lock of
 * the archive, in short transactions, each of which judges its rows again by what was committed
 * before the lock was granted. Capture, plan and publication hold that lock shared, so either they
 * see the mark or their generation is seen. A marked row counts as missing: a lane that needs it
 * writes it anew, over the very version that is being deleted (plan-blobs.ts), and so a deletion
 * that comes late finds another ETag.
 */
import { sql } from 'kysely';

import { LIMITS } from '../../domain/limits.ts';
import { lockArchiveForPrune } from '../locks.ts';
import { type Database, type Tx } from '../orm.ts';
import { to, PRUNING, UNVERIFIED } from '../registry/lane-sql.ts';
import { all, one, run } from '../sql.ts';
import { assertKnown, keptGenerations } from './kept-generations.ts';
import { listArchives, unneededRows } from './unneeded-blobs.ts';

/**
 * Rows per marking transaction: it holds up captures and plans of the archive for tens of
 * milliseconds.
 */
const ROWS_PER_LOCK = 1_000;

/**
 * Marks what the site may lose, up to the share of a run; rows that earlier runs left marked count.
 * Idempotent.
 * @returns whether there is more than the share
 * @throws PRUNE_REFUSED it is not certain what is to be kept; nothing of that archive is marked,
 *   nor of those after it
 */
export async function markUnneeded(db: Database, siteId: number): Promise<{ more: boolean }> {
  let share = await openShare(db.read, siteId);
  let more = false;
  for (const archive of await listArchives(db.read)) {
    const found = await findUnneeded(db.read, siteId, archive.id, share + 1);
    if (found.length === 0) continue;
    await assertKnown(db.read, archive, siteId);
    more ||= found.length > share;
    const marking = found.slice(0, share);
    share -= marking.length;
    for (let start = 0; start < marking.length; start += ROWS_PER_LOCK)
      await markRows(db, siteId, archive.id, marking.slice(start, start + ROWS_PER_LOCK));
  }
  return { more };
}

/** How many rows this run may still mark. What the site holds back takes nothing of its share. */
async function openShare(tx: Tx, siteId: number): Promise<number> {
  const counted = await one(
    tx,
    sql<{ rows: number; marked: number }>`
      select count(*) as rows,
        count(*) filter (where state = ${PRUNING} and refused_at is null) as marked
      from blob_registry
      where site_id = ${siteId}`,
  );
  const { rows, marked } = counted!;
  const ofSite = Math.max(LIMITS.pruneFilesMin, Math.ceil((rows * LIMITS.prunePercent) / 100));
  return Math.max(0, Math.min(LIMITS.pruneFiles, ofSite) - marked);
}

async function findUnneeded(
  tx: Tx,
  siteId: number,
  archiveId: number,
  limit: number,
): Promise<number[]> {
  const rows = await all(
    tx,
    sql<{ pathId: number }>`
      with kept as materialized (${keptGenerations(siteId)})
      select r.path_id as "pathId"
      from ${unneededRows(siteId, archiveId)}
      order by r.path_id
      limit ${limit}`,
  );
  return rows.map((row) => row.pathId);
}

/**
 * Marks those of the rows that are unneeded still. A row that another transaction changes at this
 * moment is left for the next run: so this waits for the lock of the archive and for nothing else.
 */
export function markRows(
  db: Database,
  siteId: number,
  archiveId: number,
  pathIds: readonly number[],
): Promise<void> {
  return db.transaction(async (tx) => {
    await lockArchiveForPrune(tx, archiveId);
    // Row by row through indices: reading whole tables may be a little faster now and then, but
    // captures, plans and publications wait for it.
    await run(
      tx,
      sql`
        select set_config(name, 'off', true)
        from unnest('{enable_seqscan,enable_hashjoin,enable_mergejoin}'::text[]) name`,
    );
    await run(
      tx,
      sql`
        with kept as materialized (${keptGenerations(siteId)}),
        held as (
          select r.path_id
          from ${unneededRows(siteId, archiveId)}
            and r.path_id = any(${[...pathIds]}::bigint[])
          order by r.path_id
          for update of r skip locked
        )
        update blob_registry r
        set state = ${to('prune')},
          verification_state = ${UNVERIFIED},
          claim = null,
          attempt = 0,
          retry_count = 0,
          failure_code = null,
          refused_at = null
        from held
        where r.site_id = ${siteId}
          and r.path_id = held.path_id`,
    );
  });
}
