/**
 * A lane's progress: members that are settled, of how many; and their bytes. In SQL: it is written
 * as often as a batch is booked, counted from the registry, and one statement answers with the row.
 */
import { sql } from 'kysely';

import type { Replication } from '../../domain/replication.ts';
import { lockAndEndClaim } from '../claims.ts';
import type { Database, Tx } from '../orm.ts';
import { readReplication, type LaneKey } from '../replication-row.ts';
import { counted, writeLane } from '../replications/write-lane.ts';
import { one } from '../sql.ts';
import { atSite, members } from './lane-sql.ts';

/** Counts the members and those that are settled, and writes it as the lane's progress. */
export async function recount(tx: Tx, lane: LaneKey): Promise<{ files: number; bytes: number }> {
  const found = await one(
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
  return found ?? { files: 0, bytes: 0 };
}

/**
 * The step ends, or its slice: its claim goes, and what it still claims is free.
 * @param counting `anew`: all members, for when another lane finished some of our blobs, or some
 *   were found wrong
 * @throws FENCED
 */
export function endStep(
  db: Database,
  lane: LaneKey,
  counting: 'anew' | 'own' = 'own',
): Promise<Replication> {
  return db.transaction(async (tx) => {
    const settled = await lockAndEndClaim(tx, lane);
    if (counting === 'anew') await recount(tx, lane);
    else if (settled.files !== 0 || settled.bytes !== 0)
      await writeLane(tx, lane, counted(settled));
    return readReplication(tx, lane);
  });
}
