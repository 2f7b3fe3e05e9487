/**
 * The locks of all who write to a distribution or to a lane: the row of debian_distributions first.
 * So the roll-up of two lanes that finish together is computed one after the other, and locks are
 * always taken in the same order. `no key update` leaves room for the foreign keys of rows that are
 * inserted meanwhile; MikroORM does not have it, so these statements are SQL.
 */
import { sql } from 'kysely';

import { DebgeoError } from '../../domain/errors.ts';
import type { ReplicationState } from '../../domain/replication.ts';
import type { Sha256 } from '../../domain/sha256.ts';
import type { StoredTuning } from '../entities/debian-distribution.ts';
import type { Tx } from '../orm.ts';
import type { LaneAt, LaneIds } from '../replication-row.ts';
import { one } from '../sql.ts';

export interface LockedDistribution {
  readonly id: number;
  readonly pollIntervalMs: number;
  readonly failureCount: number;
  readonly tuning: StoredTuning;
}

/** Null: no such distribution. */
export async function lockDistribution(tx: Tx, name: string): Promise<LockedDistribution | null> {
  return one(
    tx,
    sql<LockedDistribution>`
      select id, poll_interval_ms as "pollIntervalMs", failure_count as "failureCount", tuning
      from debian_distributions
      where name = ${name}
      for no key update`,
  );
}

export interface LockedLane extends LaneIds {
  readonly distribution: LockedDistribution;
  readonly desired: number;
  readonly pinned: number | null;
  readonly served: number;
  readonly state: ReplicationState;
  readonly paused: boolean;
  readonly cancelRequested: boolean;
  readonly fence: number;
  readonly retryCount: number;
  /** It answers a request to verify. */
  readonly isVerifying: boolean;
  /** R that H named at the site and this database lost, hex; null: there is none. */
  readonly lost: Sha256 | null;
}

type LaneRow = Omit<LockedLane, 'distribution'>;

/**
 * The distribution, then the lane's row, by one statement: the first lock is taken before the
 * second row is looked for. The lane is read as it is once the lock is granted. Every other table
 * was read as it was before the wait: what is needed of those is read by a statement of its own
 * (isPublishing). Null: no such pair.
 */
export async function lockLane(tx: Tx, at: LaneAt): Promise<LockedLane | null> {
  const found = await one(
    tx,
    sql<LockedDistribution & LaneRow>`
      with d as materialized (
        select id, poll_interval_ms, failure_count, tuning
        from debian_distributions
        where name = ${at.distribution}
        for no key update
      )
      select d.id, d.poll_interval_ms as "pollIntervalMs", d.failure_count as "failureCount",
        d.tuning,
        r.distribution_id as "distributionId", r.site_id as "siteId",
        r.desired_generation as desired, r.pinned_generation as pinned,
        r.served_generation as served, r.state, r.paused,
        r.cancel_requested as "cancelRequested", r.fence, r.retry_count as "retryCount",
        r.verify_taken_at is not null as "isVerifying",
        encode(r.lost_release, 'hex') as lost
      from d
      join distribution_replications r on r.distribution_id = d.id
      where r.site_id = (select id from replication_sites where name = ${at.site})
      for no key update of r`,
  );
  if (found === null) return null;
  const { id, pollIntervalMs, failureCount, tuning, ...lane } = found;
  return { distribution: { id, pollIntervalMs, failureCount, tuning }, ...lane };
}

/** @throws NAME_UNKNOWN */
export async function lockKnownLane(tx: Tx, at: LaneAt): Promise<LockedLane> {
  const lane = await lockLane(tx, at);
  if (lane !== null) return lane;
  throw new DebgeoError('NAME_UNKNOWN', `${at.distribution} is not replicated to ${at.site}`);
}
