/**
 * Tickets and claims: which attempt works on a lane, or on the prune of a site.
 *
 * Every row that a workflow reads carries a ticket of this database, and the step that the workflow
 * decides on brings it back. Attempts are ordered by ticket, and attempts of one step by Temporal's
 * count: no clock has a say, and an attempt that comes late brings an old ticket, however late it
 * is. The newest ticket that came is the *fence* of a lane. Failures and cancels move it.
 *
 * An attempt at work has a row in `claims`. Without it the attempt is over: its slice has ended, a
 * newer attempt began, the lane failed, was cancelled or removed. Every write of an attempt is
 * conditional on its row, so that an attempt which was overtaken changes nothing; a blob whose
 * claim names no row is free. What an attempt settles is counted in its own row, so that booking
 * locks nothing that other attempts need; when the row goes, its counts go to the lane.
 *
 * Locks: the distribution, then the lane's row, then claims, then blobs.
 */
import { raw } from '@mikro-orm/postgresql';
import { sql, type RawBuilder } from 'kysely';

import { overtaken } from './fence.ts';
import type { Tx } from './orm.ts';
import type { LaneIds, LaneKey } from './replication-row.ts';
import { one } from './sql.ts';

/** What an attempt works on: a lane, or (distribution null) the prune or the scrub of a site. */
export interface Claimed {
  readonly siteId: number;
  readonly distributionId: number | null;
  /** Of a site: its prune unless given. */
  readonly part?: number;
}

/** The part of a site's claims that its scrub has; its prune has 0. */
export const SCRUB = 1;

/** An attempt of a step, in the order of both. */
export interface Attempt {
  readonly ticket: number;
  /** Temporal's count of the attempts of one activity, from 1. */
  readonly attempt: number;
}

/** What claims that went had settled: files and bytes. */
export interface Settled {
  readonly files: number;
  readonly bytes: number;
}

/**
 * The next ticket of the row `fenceOf`: later than every ticket that this lane has seen, whatever
 * fence it has. So no fence wedges a lane: neither that of a clock which was a year ahead, nor one
 * of a database that was restored since.
 */
export const nextTicket = (fenceOf: RawBuilder<unknown> | string): RawBuilder<number> => {
  const fence = typeof fenceOf === 'string' ? sql.ref(fenceOf) : fenceOf;
  return sql<number>`greatest(nextval('ticket'), ${fence} + 1)`;
};

/**
 * The same for a column `fence` of an entity, later than the ticket that the workflow holds, too:
 * no step that was scheduled until now begins any more.
 */
export const laterFence = (ticket: number | null) =>
  raw<number>(`greatest(nextval('ticket'), fence + 1, ? + 1)`, [ticket ?? 0]);

const ofOne = ({ siteId, distributionId, part = 0 }: Claimed): RawBuilder<boolean> => sql<boolean>`
  c.site_id = ${siteId}
  and c.distribution_id is not distinct from ${distributionId}::int
  and (c.distribution_id is not null or c.part = ${part})`;

/**
 * Takes a claim, and ends those of older attempts. The caller holds the lock of what is claimed,
 * and has found that no newer ticket came.
 * @returns the claim, and what the ended ones had settled
 * @throws FENCED this attempt, or a later one of the same step, has begun before
 */
export async function takeClaim(
  tx: Tx,
  on: Claimed,
  { ticket, attempt }: Attempt,
): Promise<Settled & { readonly id: number }> {
  const taken = await one(
    tx,
    sql<Settled & { id: number | null }>`
      with gone as (
        delete from claims c
        where ${ofOne(on)}
          and (c.ticket < ${ticket} or (c.part = ${on.part ?? 0} and c.attempt < ${attempt}))
        returning c.files, c.bytes
      ),
      ended as (
        select coalesce(sum(files), 0)::int as files, coalesce(sum(bytes), 0)::bigint as bytes
        from gone
      ),
      taken as (
        insert into claims (site_id, distribution_id, part, ticket, attempt)
        select ${on.siteId}::int, ${on.distributionId}::int, ${on.part ?? 0}::int,
          ${ticket}::bigint, ${attempt}::int
        from ended
        on conflict do nothing
        returning id
      )
      select taken.id, ended.files, ended.bytes
      from ended
      left join taken on true`,
  );
  const { id, ...settled } = taken!;
  if (id === null) throw overtaken('this step', { claim: null });
  return { id, ...settled };
}

/** Ends every claim on a lane or a prune. The caller holds its lock. */
export async function dropClaims(tx: Tx, on: Claimed): Promise<Settled> {
  const ended = await one(
    tx,
    sql<Settled>`
      with gone as (
        delete from claims c
        where ${ofOne(on)}
        returning c.files, c.bytes
      )
      select coalesce(sum(files), 0)::int as files, coalesce(sum(bytes), 0)::bigint as bytes
      from gone`,
  );
  return ended!;
}

/** Ends the claim of this attempt. The caller holds the lock of its lane. @throws FENCED */
export async function endClaim(tx: Tx, { claim }: Pick<LaneKey, 'claim'>): Promise<Settled> {
  const ended = await one(
    tx,
    sql<Settled>`
      delete from claims
      where id = ${claim}
      returning files, bytes`,
  );
  if (ended === null) throw overtaken('this lane', { claim });
  return ended;
}

/** As endClaim, and locks the lane's row before. @throws FENCED */
export async function lockAndEndClaim(tx: Tx, lane: LaneKey): Promise<Settled> {
  const ended = await one(
    tx,
    sql<Settled>`
      with locked as materialized (
        select from distribution_replications
        where ${isLane(lane)}
        for no key update
      )
      delete from claims
      where id = ${lane.claim}
        and exists (select from locked)
      returning files, bytes`,
  );
  if (ended === null) throw overtaken('this lane', lane);
  return ended;
}

/** The row of a claim, held: no newer attempt begins until the transaction ends. No row: FENCED. */
export const holdingClaim = ({ claim }: Pick<LaneKey, 'claim'>): RawBuilder<unknown> => sql`
  select id
  from claims
  where id = ${claim}
  for key share`;

/** Until this transaction ends, no newer attempt begins. @throws FENCED one has begun */
export async function holdClaim(tx: Tx, { claim }: Pick<LaneKey, 'claim'>): Promise<void> {
  const held = await one(tx, holdingClaim({ claim }));
  if (held === null) throw overtaken('this lane', { claim });
}

/**
 * Locks the lane's row, and holds the claim.
 * @returns the generation that the site serves
 * @throws FENCED
 */
export async function holdLane(tx: Tx, lane: LaneKey): Promise<{ served: number }> {
  const held = await one(
    tx,
    sql<{ served: number }>`
      with locked as materialized (
        select served_generation as served
        from distribution_replications
        where ${isLane(lane)}
        for no key update
      )
      select locked.served
      from locked
      join claims c on c.id = ${lane.claim}
      for key share of c`,
  );
  if (held === null) throw overtaken('this lane', lane);
  return held;
}

const isLane = ({ distributionId, siteId }: LaneIds): RawBuilder<boolean> => sql<boolean>`
  distribution_id = ${distributionId}
  and site_id = ${siteId}`;

/** Of `r`, a row of blob_registry: no attempt that is at work has claimed it. */
export const IS_FREE = sql<boolean>`not exists (select from claims c where c.id = r.claim)`;
