/**
 * A lane's progress: members that are settled, of how many; and their bytes. In SQL: it is written
 * as often as a batch is booked, counted from the registry, and one statement answers with the row.
 */
import { sql } from 'kysely';

import type { Replication } from '../../domain/replication.ts';
import { fenced, holdFence } from '../fence.ts';
import type { Database, Tx } from '../orm.ts';
import { readReplication, REPLICATION_COLUMNS, type LaneKey } from '../replication-row.ts';
import { one } from '../sql.ts';
import { atSite, members } from './lane-sql.ts';

/** Counts the members and those that are settled, and writes it as the lane's progress. */
export async function recount(tx: Tx, lane: LaneKey): Promise<{ files: number; bytes: number }> {
  const counted = await one(
    tx,
    sql<{ files: number; bytes: number }>`
      with counted as (
        select count(*)::int as files,
          coalesce(sum(b.size), 0)::bigint as bytes,
          count(*) filter (where r.settled)::int as files_done,
          coalesce(sum(b.size) filter (where r.settled), 0)::bigint as bytes_done
        from ${members(lane)}
        left join blob_registry r
          on ${atSite(lane)} and r.path_id = b.path_id and r.blob_id = b.id
      )
      update distribution_replications
      set files_total = files,
        bytes_total = bytes,
        files_done = counted.files_done,
        bytes_done = counted.bytes_done
      from counted
      where distribution_id = ${lane.distributionId}
        and site_id = ${lane.siteId}
      returning files_total as files, bytes_total as bytes`,
  );
  return counted ?? { files: 0, bytes: 0 };
}

/**
 * Counts again, for when another lane finished some of our blobs, or some were found wrong.
 * @throws FENCED
 */
export function countProgress(db: Database, lane: LaneKey): Promise<Replication> {
  return db.transaction(async (tx) => {
    await holdFence(tx, lane);
    await recount(tx, lane);
    return readReplication(tx, lane);
  });
}

/**
 * Moves the lane's progress by what was settled, or found wrong.
 * @returns its row
 */
export async function moveProgress(
  tx: Tx,
  lane: LaneKey,
  by: { readonly files: number; readonly bytes: number },
): Promise<Replication> {
  const row = await one(
    tx,
    sql<Replication>`
      update distribution_replications r
      set files_done = r.files_done + ${by.files},
        bytes_done = r.bytes_done + ${by.bytes}
      from replication_sites s, debian_distributions d
      where r.distribution_id = ${lane.distributionId}
        and r.site_id = ${lane.siteId}
        and s.id = r.site_id
        and d.id = r.distribution_id
      returning ${REPLICATION_COLUMNS}`,
  );
  if (row === null) throw fenced('the replication was removed');
  return row;
}
