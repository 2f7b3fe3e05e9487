import { sql } from 'kysely';

import { suiteFolder } from '../../domain/release.ts';
import { releaseSetPaths } from '../../domain/repo-path.ts';
import { dropClaims, laterFence } from '../claims.ts';
import { recordEvent } from '../incidents.ts';
import type { Tx } from '../orm.ts';
import type { LaneIds } from '../replication-row.ts';
import { counted, writeLane } from '../replications/write-lane.ts';
import { one, run } from '../sql.ts';

/**
 * Ends the open publication of a lane without finishing it: the one way out between the first
 * published name and InRelease, where that generation can never be finished. The lane is unpinned,
 * so that it goes on with the newest generation; its claims end, and no step that was scheduled
 * until now begins any more.
 *
 * What is visible of the generation stays whole until the next publication, and its grace runs from
 * there (kept-generations.ts). Every name that it may have changed is doubted from now on, so that
 * the next publication reads it back: what is found there is ours (wasWanted).
 *
 * The caller holds the lock of the lane (lockLane), and commits the state that the lane goes on in.
 * @param reason for the record, printable
 * @returns the generation that was given up; null: no publication is open
 */
export async function giveUpPublication(
  tx: Tx,
  lane: LaneIds,
  reason: string,
): Promise<number | null> {
  const { distributionId, siteId } = lane;
  const given = await one(
    tx,
    sql<{ generation: number; suite: string }>`
      update publications p
      set given_up_at = now()
      from debian_distributions d
      where d.id = p.distribution_id
        and p.distribution_id = ${distributionId}
        and p.site_id = ${siteId}
        and p.published_at is null
        and p.given_up_at is null
      returning p.generation, d.suite`,
  );
  if (given === null) return null;
  const { generation, suite } = given;
  await doubtNames(tx, lane, generation, releaseSetPaths(suiteFolder(suite)));
  const unpinned = { fence: laterFence(null), pinnedGeneration: null };
  await writeLane(tx, lane, { ...counted(await dropClaims(tx, lane)), ...unpinned });
  await recordEvent(tx, {
    distributionId,
    siteId,
    generation,
    what: 'given up',
    facts: { reason },
  });
  return generation;
}

/**
 * Names that the site had not before are tombstones: a worker that froze may write one after the
 * next publication found nothing there.
 */
async function doubtNames(
  tx: Tx,
  { distributionId, siteId }: LaneIds,
  generation: number,
  releaseSet: readonly string[],
): Promise<void> {
  await run(
    tx,
    sql`
      insert into published_names (site_id, distribution_id, path, deleted_at)
      select ${siteId}::int, ${distributionId}::int, n.path, now()
      from (
        select unnest(${[...releaseSet]}::text[])
        union
        select path
        from snapshot_indices
        where distribution_id = ${distributionId}
          and generation = ${generation}
        union
        select path
        from published_names
        where distribution_id = ${distributionId}
          and site_id = ${siteId}
      ) n (path)
      on conflict (site_id, distribution_id, path) do update set
        verified_at = null,
        deleted_at = case when published_names.sha256 is null then excluded.deleted_at end`,
  );
}
