/**
 * The lanes that have to repair what a scrub found wrong: those whose served or newest generation
 * names it.
 */
import { sql } from 'kysely';

import { recordEvent } from '../incidents.ts';
import type { Tx } from '../orm.ts';
import { recordCorrupt } from '../registry/judgements.ts';
import { rollUp } from '../replications/roll-up.ts';
import { from, to, writeLane } from '../replications/write-lane.ts';
import { all, run } from '../sql.ts';
import type { ScrubClaim } from './scrubs.ts';

/** A file that is wrong. */
export interface Wrong {
  readonly path: string;
  readonly expected: string;
  /** A SHA-256, or `nothing`. */
  readonly found: string;
}
/** A lane that names wrong files. */
export interface RottenLane {
  readonly distributionId: number;
  readonly distribution: string;
  readonly served: number;
  readonly blobIds: readonly number[];
}

/** Locks the distributions and lanes whose served or newest generation names one of the blobs. */
export async function lockLanesOf(
  tx: Tx,
  scrub: ScrubClaim,
  wrong: readonly { readonly blobId: number }[],
): Promise<RottenLane[]> {
  const named = await all(
    tx,
    sql<{ distributionId: number; blobIds: number[] }>`
      select l.distribution_id as "distributionId",
        array_agg(distinct m.blob_id)::int[] as "blobIds"
      from distribution_replications l
      join snapshot_blobs m
        on m.distribution_id = l.distribution_id
          and m.blob_id = any(${wrong.map(({ blobId }) => blobId)}::bigint[])
      where l.site_id = ${scrub.siteId}
        and (
          l.served_generation >= m.from_generation and l.served_generation < m.to_generation
          or l.desired_generation >= m.from_generation and l.desired_generation < m.to_generation
        )
      group by l.distribution_id`,
  );
  const lanes = await lockLanes(
    tx,
    scrub,
    named.map(({ distributionId }) => distributionId),
  );
  return lanes.map((lane) => ({
    ...lane,
    blobIds: named.find((one) => one.distributionId === lane.distributionId)!.blobIds,
  }));
}

/** Distributions, then their lanes at the site, in the order in which every writer locks them. */
export async function lockLanes(
  tx: Tx,
  { siteId }: ScrubClaim,
  distributionIds: readonly number[],
): Promise<RottenLane[]> {
  if (distributionIds.length === 0) return [];
  const named = await all(
    tx,
    sql<{ id: number; name: string }>`
      select id, name
      from debian_distributions
      where id = any(${[...distributionIds]}::int[])
        and not removed
      order by id
      for no key update`,
  );
  const lanes = await all(
    tx,
    sql<{ distributionId: number; served: number }>`
      select distribution_id as "distributionId", served_generation as served
      from distribution_replications
      where site_id = ${siteId}
        and distribution_id = any(${named.map(({ id }) => id)}::int[])
      order by distribution_id
      for no key update`,
  );
  return lanes.map((lane) => ({
    ...lane,
    distribution: named.find(({ id }) => id === lane.distributionId)!.name,
    blobIds: [],
  }));
}

/**
 * The lane is told of its wrong files: an incident each, and it is not synced any more. Its
 * workflow is signalled; should that be lost, a worker does it again within a minute.
 * @returns whether there is one
 */
export async function bookRot(
  tx: Tx,
  { siteId }: ScrubClaim,
  { distributionId, served: generation }: RottenLane,
  wrong: readonly Wrong[],
): Promise<boolean> {
  if (wrong.length === 0) return false;
  const lane = { distributionId, siteId, generation };
  for (const file of wrong) await recordCorrupt(tx, lane, file);
  await recordEvent(tx, { ...lane, what: 'rot', facts: { files: wrong.length } });
  await writeLane(tx, lane, { state: to('rot') }, from('rot'));
  await rollUp(tx, distributionId);
  await run(
    tx,
    sql`
      update debian_distributions
      set changed_rev = nextval('revision')
      where id = ${distributionId}`,
  );
  return true;
}
