/** How the row of a lane is written: on a condition, under the lock of the lane. */
import { raw, type EntityData, type FilterQuery } from '@mikro-orm/postgresql';

import {
  REPLICATION_TRANSITIONS,
  type ReplicationEvent,
  type ReplicationState,
} from '../../domain/replication.ts';
import type { Settled } from '../claims.ts';
import { DistributionReplication } from '../entities/distribution-replication.ts';
import { Publication } from '../entities/publication.ts';
import type { Tx } from '../orm.ts';
import type { LaneIds } from '../replication-row.ts';

/** That the lane is in a state that the event may find; domain/replication.ts says which. */
export const from = (event: ReplicationEvent): { state: { $in: ReplicationState[] } } => ({
  state: { $in: [...REPLICATION_TRANSITIONS[event].from] },
});

/** The state that the event leaves. */
export const to = (event: ReplicationEvent): ReplicationState => REPLICATION_TRANSITIONS[event].to;

/** @returns whether the row was as `when` says, and is written */
export async function writeLane(
  { em }: Tx,
  lane: LaneIds,
  columns: EntityData<DistributionReplication>,
  when: FilterQuery<DistributionReplication> = {},
): Promise<boolean> {
  const ofLane = { distribution: lane.distributionId, site: lane.siteId };
  return (await em.nativeUpdate(DistributionReplication, { $and: [ofLane, when] }, columns)) === 1;
}

/** That no publication of the lane is open. */
export const notPublishing = (): Record<string, readonly unknown[]> => ({
  [raw(`not exists (
    select from publications p
    where p.distribution_id = distribution_replications.distribution_id
      and p.site_id = distribution_replications.site_id
      and p.published_at is null
      and p.given_up_at is null)`)]: [],
});

/**
 * Whether a publication is open: between the first published name and InRelease there is no other
 * way than through. The caller holds the lock of the lane, so none opens or ends meanwhile.
 */
export async function isPublishing({ em }: Tx, lane: LaneIds): Promise<boolean> {
  const { distributionId: distribution, siteId: site } = lane;
  const open = { distribution, site, publishedAt: null, givenUpAt: null };
  return (await em.count(Publication, open)) > 0;
}

/** Columns that take over what claims had settled that have ended. */
export const counted = ({ files, bytes }: Settled): EntityData<DistributionReplication> =>
  files === 0 && bytes === 0
    ? {}
    : {
        filesDone: raw('files_done + ?', [files]),
        bytesDone: raw('bytes_done + ?', [bytes]),
      };
