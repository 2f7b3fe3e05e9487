/** What a site still lacks of a generation, and the barrier in front of publication. */
import { sql, type RawBuilder } from 'kysely';

import { DebgeoError, type ErrorCode } from '../../domain/errors.ts';
import { IS_FREE } from '../claims.ts';
import type { Tx } from '../orm.ts';
import { doubtedNames } from '../publications/names.ts';
import type { LaneKey } from '../replication-row.ts';
import { one } from '../sql.ts';
import { atSite, FAILED, isMember, members, PENDING, STARTED, SYNCED } from './lane-sql.ts';

export interface OpenBlobs {
  readonly claimable: number;
  /** Claimed by an attempt of another distribution at work: the lane waits for them. */
  readonly elsewhere: number;
  /** The first of those that no origin has, if there is one. */
  readonly failed: {
    readonly count: number;
    readonly code: ErrorCode;
    readonly path: string;
  } | null;
}

/** Members of the lane's generation that are not at the site yet. */
export async function openBlobs(tx: Tx, lane: LaneKey): Promise<OpenBlobs> {
  const row = await one(
    tx,
    sql<{
      claimable: number;
      elsewhere: number;
      failed: number;
      code: ErrorCode | null;
      path: string | null;
    }>`
      with open as (
        select r.path_id, r.state, r.failure_code,
          (r.state = ${PENDING} or (r.state = ${STARTED} and ${IS_FREE})) as claimable
        from blob_registry r
        where ${atSite(lane)}
          and not r.settled
          and r.state <> ${SYNCED}
          and ${isMember(lane)}
      )
      select count(*) filter (where claimable) as claimable,
        count(*) filter (where state = ${STARTED} and not claimable) as elsewhere,
        count(*) filter (where state = ${FAILED}) as failed,
        f.code, f.path
      from open
      left join lateral (
        select o.failure_code as code, p.path
        from open o
        join paths p on p.id = o.path_id
        where o.state = ${FAILED}
        order by o.failure_code in ('BLOB_MISSING', 'BLOB_MISMATCH') desc nulls last, o.path_id
        limit 1
      ) f on true
      group by f.code, f.path`,
  );
  if (row === null) return { claimable: 0, elsewhere: 0, failed: null };
  const failed =
    row.failed === 0
      ? null
      : { count: row.failed, code: row.code ?? 'BLOB_MISSING', path: row.path ?? '' };
  return { claimable: row.claimable, elsewhere: row.elsewhere, failed };
}

export interface Barrier {
  readonly members: number;
  /** Members whose row at this site is not synced and verified with this very blob. */
  readonly unsettled: number;
  /** Those of them without any row at this site: only a new plan mends that. */
  readonly unplanned: number;
}

/** The barrier in front of publication: one statement over the whole generation, always in full. */
export async function barrier(tx: Tx, lane: LaneKey): Promise<Barrier> {
  const found = await one(
    tx,
    sql<Barrier>`
      select count(*) as members,
        count(*) filter (where r.settled is not true) as unsettled,
        count(*) filter (where r.path_id is null) as unplanned
      from ${members(lane)}
      left join blob_registry r
        on ${atSite(lane)} and r.path_id = b.path_id and r.blob_id = b.id`,
  );
  return found!;
}

/**
 * That a scrub found something wrong which is not repaired: a member that was verified before, or a
 * published name. Behind the barrier a lane reads no blob any more, and would not notice.
 */
export const isRotten = (lane: LaneKey): RawBuilder<boolean> => sql<boolean>`(
  exists (
    select
    from blob_registry r
    where ${atSite(lane)}
      and not r.settled
      and r.verified_at is not null
      and ${isMember(lane)}
  )
  or exists (
    ${doubtedNames(lane)}
  ))`;

/** @throws SNAPSHOT_EMPTY, NOT_VERIFIED */
export function assertSettled({ members: count, unsettled }: Barrier, generation: number): void {
  if (count === 0)
    throw new DebgeoError(
      'SNAPSHOT_EMPTY',
      `generation ${generation} has no member: 0 of 0 is not verified`,
    );
  if (unsettled === 0) return;
  throw new DebgeoError(
    'NOT_VERIFIED',
    `not everything of generation ${generation} is verified at the site`,
    {
      expected: `${count} of ${count} verified`,
      found: `${count - unsettled} of ${count} verified`,
      state: 'nothing was published',
    },
  );
}
