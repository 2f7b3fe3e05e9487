/**
 * An attempt of a step, from the fence that it takes to the end of its lane's chain. Everything
 * that it writes is conditional on the fence.
 */
import { raw } from '@mikro-orm/postgresql';

import { DebgeoError } from '../../domain/errors.ts';
import type { Replication } from '../../domain/replication.ts';
import { fenced, overtaken } from '../fence.ts';
import { recordEvent, resolveIncidents } from '../incidents.ts';
import type { Database, Tx } from '../orm.ts';
import { readReplication, type LaneAt, type LaneKey } from '../replication-row.ts';
import { now } from '../sql.ts';
import { lockLane, type LockedLane } from './lock.ts';
import { rollUp } from './roll-up.ts';
import { from, notPublishing, to, writeLane } from './write-lane.ts';

const nameOf = (at: LaneAt): string => `${at.distribution} at ${at.site}`;

/** @throws NAME_UNKNOWN */
async function lockKnownLane(tx: Tx, at: LaneAt): Promise<LockedLane> {
  const lane = await lockLane(tx, at);
  if (lane !== null) return lane;
  throw new DebgeoError('NAME_UNKNOWN', `${at.distribution} is not replicated to ${at.site}`);
}

/**
 * An attempt begins: it takes the fence if it is newer than all before, and pins its generation.
 * @throws FENCED a newer attempt, command or failure came before it, or the lane works on another
 *   generation
 * @throws CANCELLED the lane is cancelled
 * @throws NAME_UNKNOWN no such pair
 */
export function startAttempt(
  db: Database,
  at: LaneAt,
  generation: number,
  attempt: number,
): Promise<{ readonly key: LaneKey; readonly row: Replication }> {
  return db.transaction(async (tx) => {
    const lane = await lockKnownLane(tx, at);
    if (lane.state === 'cancelled')
      throw new DebgeoError('CANCELLED', `${nameOf(at)} is cancelled`);
    if (attempt <= lane.fence) throw overtaken(nameOf(at), attempt, lane.fence);
    if (lane.pinned !== null && lane.pinned !== generation)
      throw fenced(`${nameOf(at)} works on another generation`, {
        expected: `generation ${generation}`,
        found: `generation ${lane.pinned}`,
      });
    const started = {
      state: to('start'),
      pinnedGeneration: generation,
      fence: attempt,
      retryAt: null,
      ...(lane.state === 'started' ? {} : { startedAt: now() }),
    };
    if (!(await writeLane(tx, lane, started, from('start'))))
      throw overtaken(nameOf(at), attempt, lane.fence);
    // Later steps of a chain find the lane started: nothing that is counted has changed.
    if (lane.state !== 'started') await rollUp(tx, lane.distributionId);
    const { distributionId, siteId } = lane;
    const key = { distributionId, siteId, generation, attempt };
    return { key, row: await readReplication(tx, lane) };
  });
}

/**
 * Before the first blob is read back: takes up what was asked to verify until now. From here until
 * it is answered, through failures too, every blob is read that was not verified since that
 * request; a later request changes nothing of this and is taken up by the next chain. So each is
 * answered, however often an operator asks, and none by a chain that had begun to read before it.
 * @returns the request that is to be answered; null: there is none
 * @throws FENCED this attempt does not hold the fence any more
 * @throws NAME_UNKNOWN no such pair
 */
export function beginVerify(db: Database, at: LaneAt, attempt: number): Promise<number | null> {
  return db.transaction(async (tx) => {
    const lane = await lockKnownLane(tx, at);
    // As in answered().
    const begun = { verifyTakenAt: raw('coalesce(verify_taken_at, verify_requested_at)') };
    if (!(await writeLane(tx, lane, begun, { fence: attempt })))
      throw overtaken(nameOf(at), attempt, lane.fence);
    return (await readReplication(tx, lane)).verifyRequestedAt;
  });
}

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
 * The generation is published and was read as apt reads it. Synced; pending where a newer
 * generation waits; cancelled where that was wished for while the publication was open. What was
 * asked to verify until this chain took it up is answered; what was asked later waits for the next
 * chain.
 * @throws FENCED this attempt does not hold the fence any more
 */
export function finishReplication(
  db: Database,
  at: LaneAt,
  generation: number,
  attempt: number,
): Promise<Replication> {
  return db.transaction(async (tx) => {
    const lane = await lockKnownLane(tx, at);
    const event = lane.desired > generation ? 'sync-behind' : 'sync';
    const isCancelled = lane.cancelRequested && event === 'sync-behind';
    const finished = {
      state: to(isCancelled ? 'cancel' : event),
      cancelRequested: false,
      pinnedGeneration: null,
      retryCount: 0,
      retryAt: null,
      failureCode: null,
      failure: null,
      ...answered(),
      lastSyncedAt: now(),
      verifiedAt: now(),
    };
    const held = {
      fence: attempt,
      pinnedGeneration: generation,
      servedGeneration: generation,
      ...from(event),
      ...notPublishing(),
    };
    if (!(await writeLane(tx, lane, finished, held)))
      throw overtaken(nameOf(at), attempt, lane.fence);
    const { distributionId, siteId } = lane;
    await recordEvent(tx, { distributionId, siteId, generation, what: 'synced' });
    const resolution = `generation ${generation} is served, verified`;
    await resolveIncidents(tx, { distributionId, siteId }, resolution);
    await rollUp(tx, distributionId);
    return readReplication(tx, lane);
  });
}
