/**
 * An attempt of a step, from the claim that it takes to the end of its lane's chain. Everything
 * that it writes is conditional on that claim (claims.ts).
 */
import { raw } from '@mikro-orm/postgresql';
import { sql } from 'kysely';

import { DebgeoError } from '../../domain/errors.ts';
import type { Replication } from '../../domain/replication.ts';
import type { Sha256 } from '../../domain/sha256.ts';
import { GRACE_BEGINS } from '../anchors/distrust.ts';
import { readDistribution, type DistributionRecord } from '../catalog/distributions.ts';
import { nextTicket, takeClaim, type Settled } from '../claims.ts';
import { fenced, overtaken } from '../fence.ts';
import { recordEvent, resolveIncidents } from '../incidents.ts';
import type { Database, Tx } from '../orm.ts';
import { isRotten } from '../registry/barrier.ts';
import { readReplication, type LaneAt, type LaneKey } from '../replication-row.ts';
import { now, one } from '../sql.ts';
import { lockKnownLane, type LockedLane } from './lock.ts';
import { awaitsSite, waking } from './parked.ts';
import { rollUp } from './roll-up.ts';
import { counted, from, notPublishing, to, writeLane } from './write-lane.ts';

const nameOf = (at: LaneAt): string => `${at.distribution} at ${at.site}`;

/** What a step brings. */
export interface StepAttempt {
  readonly generation: number;
  /** Of the row that the workflow decided on; null: that row is of a version without tickets. */
  readonly ticket: number | null;
  /** Temporal's count of the attempts of this activity, from 1. */
  readonly attempt: number;
  /** The step reads blobs back, and takes up what was asked to verify until now. */
  readonly takesVerify?: boolean;
}

export interface Begun {
  readonly key: LaneKey;
  readonly row: Replication;
  /** R that H named at the site and this database lost (anchors/restored.ts); null: none. */
  readonly lost: Sha256 | null;
  readonly distribution: DistributionRecord;
}

/**
 * The workflow decided on a row that is not so any more: a newer ticket came before, or the lane
 * works on another generation. No failure: the workflow decides again, on this row.
 */
export interface Stale {
  readonly stale: Replication;
}

/**
 * An attempt begins: it takes the fence and a claim, which ends those of all before it, and pins
 * its generation.
 *
 * Who takes up a verification: from here until it is answered, through failures too, every blob is
 * read that was not verified since that request; a later request changes nothing of this and is
 * taken up by the next chain. So each is answered, however often an operator asks, and none by a
 * chain that had begun to read before it.
 * @throws FENCED this attempt or a later one of the same step began before, or (without a ticket)
 *   the lane works on another generation
 * @throws CANCELLED the lane is cancelled
 * @throws NAME_UNKNOWN no such pair
 */
export function startAttempt(db: Database, at: LaneAt, step: StepAttempt): Promise<Begun | Stale> {
  const { generation, attempt } = step;
  return db.transaction(async (tx) => {
    const lane = await lockKnownLane(tx, at);
    const worksOnAnother = lane.pinned !== null && lane.pinned !== generation;
    if (step.ticket !== null && (lane.fence > step.ticket || worksOnAnother))
      return { stale: await readReplication(tx, lane) };
    if (lane.state === 'cancelled')
      throw new DebgeoError('CANCELLED', `${nameOf(at)} is cancelled`);
    if (worksOnAnother)
      throw fenced(`${nameOf(at)} works on another generation`, {
        expected: `generation ${generation}`,
        found: `generation ${lane.pinned}`,
      });
    const ticket = step.ticket ?? (await issueTicket(tx, lane));
    const { id: claim, ...settled } = await takeClaim(tx, lane, { ticket, attempt });
    const started = {
      ...counted(settled),
      state: to('start'),
      pinnedGeneration: generation,
      fence: ticket,
      retryAt: null,
      ...(lane.state === 'started' ? {} : { startedAt: now() }),
      ...(step.takesVerify ? { verifyTakenAt: TAKEN } : {}),
    };
    if (!(await writeLane(tx, lane, started, from('start'))))
      throw overtaken(nameOf(at), { claim });
    // Later steps of a chain find the lane started: nothing that is counted has changed.
    if (lane.state !== 'started') await rollUp(tx, lane.distributionId);
    const { distributionId, siteId } = lane;
    const distribution = await readDistribution(tx, at.distribution);
    if (distribution === null)
      throw new DebgeoError('NAME_UNKNOWN', `the distribution ${at.distribution} was removed`);
    const key = { distributionId, siteId, generation, ticket, claim };
    return { key, row: await readReplication(tx, lane), lost: lane.lost, distribution };
  });
}

/** For a step of a run that began before there were tickets: it counts as the newest. */
async function issueTicket(tx: Tx, lane: LockedLane): Promise<number> {
  const issued = await one(
    tx,
    sql<{ ticket: number }>`
    select ${nextTicket(sql`${lane.fence}::bigint`)} as ticket`,
  );
  return issued!.ticket;
}

/** As in answered(). */
const TAKEN = raw('coalesce(verify_taken_at, verify_requested_at)');

/** In SQL, column to column: a Date would cut their microseconds. */
const answered = () => ({
  verifyAnsweredAt: raw('coalesce(verify_taken_at, verify_answered_at)'),
  verifyRequestedAt: raw(
    `case when verify_taken_at is null or verify_requested_at > verify_taken_at
       then verify_requested_at end`,
  ),
  verifyTakenAt: null,
});

/**
 * Ends the claim of this attempt, and asks in the same statement whether something of the
 * generation rotted since the barrier. The caller holds the lock of the lane.
 * @throws FENCED
 */
async function endChain(tx: Tx, key: LaneKey): Promise<Settled & { readonly rotten: boolean }> {
  const ended = await one(
    tx,
    sql<Settled & { rotten: boolean }>`
      delete from claims
      where id = ${key.claim}
      returning files, bytes, ${isRotten(key)} as rotten`,
  );
  if (ended === null) throw overtaken('this lane', key);
  return ended;
}

/**
 * The generation is published and was read as apt reads it. Synced; pending where a newer
 * generation waits, or a scrub found something wrong since; cancelled where that was wished for
 * while the publication was open. What was asked to verify until this chain took it up is answered;
 * what was asked later waits for the next chain. The claim of the attempt ends.
 * @throws FENCED this attempt is over, or the generation is not served
 */
export function finishReplication(db: Database, at: LaneAt, key: LaneKey): Promise<Replication> {
  const { generation } = key;
  return db.transaction(async (tx) => {
    const lane = await lockKnownLane(tx, at);
    const { rotten, ...settled } = await endChain(tx, key);
    const becomes = lane.desired > generation || rotten ? 'sync-behind' : 'sync';
    const isCancelled = lane.cancelRequested && becomes === 'sync-behind';
    const finished = {
      ...counted(settled),
      state: to(isCancelled ? 'cancel' : becomes),
      cancelRequested: false,
      pinnedGeneration: null,
      retryCount: 0,
      retryAt: null,
      failureCode: null,
      failure: null,
      ...answered(),
      sparedUntil: GRACE_BEGINS,
      lastSyncedAt: now(),
      verifiedAt: now(),
    };
    const held = {
      pinnedGeneration: generation,
      servedGeneration: generation,
      ...from(becomes),
      ...notPublishing(),
    };
    if (!(await writeLane(tx, lane, finished, held)))
      throw fenced(`generation ${generation} of ${nameOf(at)} is not served`);
    const { distributionId, siteId } = lane;
    const event = { distributionId, siteId, generation, what: 'synced' };
    await recordEvent(tx, event, waking(awaitsSite(siteId)));
    const resolution = `generation ${generation} is served, verified`;
    if (!rotten) await resolveIncidents(tx, { distributionId, siteId }, resolution);
    await rollUp(tx, distributionId);
    return readReplication(tx, lane);
  });
}
