/**
 * The rows that workflows decide on: one per (distribution, site), and the distribution's own.
 *
 * Every writer locks the row of debian_distributions first: so the roll-up of two lanes that finish
 * together is computed one after the other, and locks are always taken in the same order. `no key
 * update` leaves room for the foreign keys of those who insert meanwhile. Each writer returns the
 * row that it commits. `rev` is set by a trigger, from one sequence: the larger is the newer,
 * across deletes too.
 *
 * Longer than a screen or two because all transitions of these rows stand here and nowhere else.
 */
import { sql, type RawBuilder } from 'kysely';

import {
  DebgeoError,
  isErrorCode,
  RULES,
  ruleOf,
  type ErrorCode,
  type ErrorReport,
} from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import {
  backoffMs,
  REPLICATION_TRANSITIONS,
  type Command,
  type Replication,
  type ReplicationState,
  type ReplicationStatus,
  type Roster,
  type Tuning,
} from '../../domain/replication.ts';
import type { Validator } from '../../domain/snapshot.ts';
import type { StoredTuning } from '../entities/debian-distribution.ts';
import { recordEvent, recordIncident, resolveIncidents } from '../incidents.ts';
import { type Database, type Tx } from '../orm.ts';
import { ms, all, one, run, later } from '../sql.ts';
import { QUEUE } from '../views/work.ts';
import { endOlderAcceptances } from './older-acceptances.ts';
import { recordStaleness } from './stale-releases.ts';

export interface LaneAt {
  readonly distribution: string;
  readonly site: string;
}

const TUNING: Tuning = { gatherMs: 1_000, drainMs: 60_000, historyEventsMax: 1e9 };

/** Polls of many distributions spread by this part of the interval, either way. */
const POLL_JITTER = 0.1;

/** Codes that say what the operator or a newer attempt did: no promise is broken. */
const NO_INCIDENT: readonly ErrorCode[] = ['SUPERSEDED', 'FENCED', 'CANCELLED'];

const REFUSALS = Object.keys(RULES).filter((code) => isErrorCode(code) && ruleOf(code).exit === 3);

/** `state in (…)`: the states that an event may find. */
const isFrom = (event: string, column: RawBuilder<unknown> = sql`r.state`): RawBuilder<boolean> =>
  sql<boolean>`${column} = any(${[...REPLICATION_TRANSITIONS[event]!.from]}::text[])`;

const toState = (event: string): ReplicationState => REPLICATION_TRANSITIONS[event]!.to;

/** Between the first published name and InRelease: no other way than through. */
const isPublishing = sql<boolean>`exists (
  select from publications p where p.distribution_id = r.distribution_id and p.site_id = r.site_id and p.published_at is null)`;

/** A `Replication`, of `r`, its site `s` and its distribution `d`. */
export const REPLICATION_COLUMNS = sql`
  s.name as site, ${QUEUE} as queue,
  r.desired_generation as target, r.pinned_generation as pinned, r.served_generation as served,
  r.state, r.paused, ${isPublishing} as publishing,
  ${ms(sql`coalesce(r.verify_taken_at, r.verify_requested_at)`)} as "verifyRequestedAt",
  r.retry_count as "retryCount", ${ms('r.retry_at')} as "retryAt", r.failure_code as code,
  r.files_done as "filesDone", r.files_total as "filesTotal", r.bytes_done as "bytesDone", r.bytes_total as "bytesTotal",
  d.replication_status as "distributionStatus", r.rev`;

const REPLICATIONS = sql`
  distribution_replications r
  join replication_sites s on s.id = r.site_id
  join debian_distributions d on d.id = r.distribution_id`;

/** Null: no such pair. */
export async function readReplication(tx: Tx, at: LaneAt): Promise<Replication | null> {
  return await one(
    tx,
    sql<Replication>`select ${REPLICATION_COLUMNS} from ${REPLICATIONS} where d.name = ${at.distribution} and s.name = ${at.site}`,
  );
}

interface LockedDistribution {
  readonly id: number;
  readonly pollIntervalMs: number;
  readonly failureCount: number;
  readonly tuning: StoredTuning;
}

async function lockDistribution(tx: Tx, name: string): Promise<LockedDistribution | null> {
  return await one(
    tx,
    sql<LockedDistribution>`
      select id, poll_interval_ms as "pollIntervalMs", failure_count as "failureCount", tuning
      from debian_distributions where name = ${name} for no key update`,
  );
}

interface LockedLane {
  readonly distribution: LockedDistribution;
  readonly siteId: number;
  readonly desired: number;
  readonly pinned: number | null;
  readonly served: number;
  readonly state: ReplicationState;
  readonly fence: number;
  readonly retryCount: number;
  readonly publishing: boolean;
}

/**
 * Locks the distribution, then the lane's row, and reads both only then: a statement that waits for
 * a lock sees its own row as it is now, and every other table, publications among them, as it was
 * before it waited.
 */
async function lockLane(tx: Tx, at: LaneAt): Promise<LockedLane | null> {
  const distribution = await lockDistribution(tx, at.distribution);
  if (distribution === null) return null;
  const ofLane = sql`r.distribution_id = ${distribution.id} and r.site_id = (select id from replication_sites where name = ${at.site})`;
  await run(tx, sql`select from distribution_replications r where ${ofLane} for no key update`);
  const lane = await one(
    tx,
    sql<Omit<LockedLane, 'distribution'>>`
      select r.site_id as "siteId", r.desired_generation as desired, r.pinned_generation as pinned, r.served_generation as served, r.state, r.fence,
             r.retry_count as "retryCount", ${isPublishing} as publishing
      from distribution_replications r where ${ofLane}`,
  );
  return lane && { distribution, ...lane };
}

/** What a lane's row is written by; the caller holds its lock. */
async function setLane(
  tx: Tx,
  lane: LockedLane,
  assignments: RawBuilder<unknown>,
  when: RawBuilder<boolean> = sql<boolean>`true`,
): Promise<boolean> {
  const changed = await run(
    tx,
    sql`
    update distribution_replications r set ${assignments}
    where r.distribution_id = ${lane.distribution.id} and r.site_id = ${lane.siteId} and ${when}`,
  );
  return changed === 1;
}

/**
 * Computes `replication_status`, once and for everybody: failed if anything is parked or the last
 * release was refused; success if there is an enabled site and all of them serve the newest
 * generation, verified; else pending. Locks the row, then reads, then writes.
 */
export async function rollUp(tx: Tx, distributionId: number): Promise<ReplicationStatus> {
  await run(
    tx,
    sql`select from debian_distributions where id = ${distributionId} for no key update`,
  );
  const rows = await all(
    tx,
    sql<{ status: ReplicationStatus }>`
    select case
        when d.failure_code = any(${REFUSALS}::text[]) or lanes.parked > 0 then 'failed'
        when lanes.enabled > 0 and lanes.done = lanes.enabled then 'success'
        else 'pending' end as status
    from debian_distributions d, lateral (
      select count(*) as enabled,
             count(*) filter (where r.state = 'failed' and r.retry_at is null) as parked,
             count(*) filter (where r.state = 'synced' and r.served_generation = d.latest_generation and d.latest_generation > 0) as done
      from distribution_replications r join replication_sites s on s.id = r.site_id
      where r.distribution_id = d.id and s.enabled) lanes
    where d.id = ${distributionId}`,
  );
  const { status } = rows[0]!;
  await run(
    tx,
    sql`update debian_distributions set replication_status = ${status} where id = ${distributionId} and replication_status <> ${status}`,
  );
  return status;
}

/**
 * All that the workflow decides on. A distribution that is not there, or marked removed, is
 * `removed` and has no lanes.
 */
export function loadRoster(db: Database, distribution: string): Promise<Roster> {
  return readRoster(db.read, distribution);
}

async function readRoster(tx: Tx, name: string): Promise<Roster> {
  const row = await one(
    tx,
    sql<
      Omit<Roster, 'replications' | 'tuning'> & {
        id: number;
        tuning: StoredTuning;
        lanes: Replication[];
      }
    >`
      select d.id, d.name as distribution, d.removed, d.latest_generation as generation, d.replication_status as status, d.failure_code as code,
             ${ms('d.next_look_at')} as "nextLookAt", d.tuning, d.rev,
             (select coalesce(json_agg(lane order by lane.site), '[]') from (
                select ${REPLICATION_COLUMNS} from distribution_replications r join replication_sites s on s.id = r.site_id
                where r.distribution_id = d.id and s.enabled and not d.removed) lane) as lanes
      from debian_distributions d where d.name = ${name}`,
  );
  if (row === null) {
    const rows = await all(tx, sql<{ rev: number }>`select nextval('revision') as rev`);
    const gone = {
      generation: 0,
      status: 'pending',
      code: null,
      nextLookAt: 0,
      tuning: TUNING,
      replications: [],
    } as const;
    return { distribution: name, removed: true, rev: rows[0]!.rev, ...gone };
  }
  const { id: _id, lanes, tuning, ...roster } = row;
  return {
    ...roster,
    tuning: {
      gatherMs: tuning.gatherMs ?? TUNING.gatherMs,
      drainMs: tuning.drainMs ?? TUNING.drainMs,
      historyEventsMax: tuning.historyEventsMax ?? TUNING.historyEventsMax,
    },
    replications: lanes,
  };
}

/** A look at the archive went well, whether anything was new or not. */
export function recordLook(
  db: Database,
  distribution: string,
  facts: { readonly validator: Validator; readonly unconditional: boolean },
): Promise<Roster> {
  return db.transaction(async (tx) => {
    const locked = await lockDistribution(tx, distribution);
    if (locked !== null) {
      const wait = locked.pollIntervalMs * (1 - POLL_JITTER + 2 * POLL_JITTER * Math.random());
      await run(
        tx,
        sql`
        update debian_distributions set in_release_etag = ${facts.validator.etag}, in_release_last_modified = ${facts.validator.lastModified},
          looks = case when ${facts.unconditional} then 0 else looks + 1 end, failure_code = null, failure = null, failure_count = 0,
          looked_at = now(), next_look_at = ${later(wait)}
        where id = ${locked.id}`,
      );
      await endOlderAcceptances(tx, locked.id);
      await resolveIncidents(
        tx,
        { distributionId: locked.id, siteId: null },
        'a later look at the archive was fine',
      );
      await recordStaleness(tx, locked.id);
      await rollUp(tx, locked.id);
    }
    return readRoster(tx, distribution);
  });
}

/**
 * A look failed or the release was refused: on record, sites keep serving, and the next look comes
 * sooner than the next poll.
 */
export function recordCaptureFailure(
  db: Database,
  distribution: string,
  report: ErrorReport,
): Promise<Roster> {
  return db.transaction(async (tx) => {
    const locked = await lockDistribution(tx, distribution);
    if (locked !== null) {
      const wait = Math.max(
        Math.min(backoffOf(locked, locked.failureCount + 1), locked.pollIntervalMs),
        retryAfterOf(report),
      );
      await run(
        tx,
        sql`
        update debian_distributions set failure_code = ${report.code}, failure = ${JSON.stringify(report)}::jsonb, failure_count = failure_count + 1,
          looked_at = now(), next_look_at = ${later(wait)}
        where id = ${locked.id}`,
      );
      await endOlderAcceptances(tx, locked.id);
      if (!NO_INCIDENT.includes(report.code))
        await recordIncident(tx, { distributionId: locked.id, report });
      await recordStaleness(tx, locked.id);
      await rollUp(tx, locked.id);
    }
    return readRoster(tx, distribution);
  });
}

/**
 * Commits the wishes of an operator. Null: no such pair.
 * @param attempt scheduled time of the activity that brings the order: `cancel` moves the fence
 *   there, so that what still runs changes nothing
 */
export function applyCommand(
  db: Database,
  at: LaneAt,
  command: Command,
  attempt: number,
): Promise<Replication | null> {
  return db.transaction(async (tx) => {
    const lane = await lockLane(tx, at);
    if (lane === null) return null;
    if (command.paused !== undefined) await setLane(tx, lane, sql`paused = ${command.paused}`);
    if (command.verify) await setLane(tx, lane, sql`verify_requested_at = now()`);
    if (command.want === 'retry') await retry(tx, lane);
    if (command.want === 'cancel') await cancel(tx, lane, attempt);
    await rollUp(tx, lane.distribution.id);
    return readReplication(tx, at);
  });
}

async function retry(tx: Tx, lane: LockedLane): Promise<void> {
  await setLane(tx, lane, sql`cancel_requested = false, retry_count = 0`);
  await setLane(
    tx,
    lane,
    sql`state = ${toState('retry')}, retry_at = null, failure_code = null, failure = null`,
    isFrom('retry'),
  );
}

/**
 * An open publication is not cancelled: its generation stays pinned and finishes, and the lane is
 * cancelled behind it.
 */
async function cancel(tx: Tx, lane: LockedLane, attempt: number): Promise<void> {
  await setLane(tx, lane, sql`fence = greatest(fence, ${attempt})`);
  if (lane.publishing) return void (await setLane(tx, lane, sql`cancel_requested = true`));
  const cancelled = sql`state = ${toState('cancel')}, pinned_generation = null, retry_at = null, failure_code = null, failure = null`;
  if (!(await setLane(tx, lane, cancelled, isFrom('cancel')))) return;
  await recordEvent(tx, {
    distributionId: lane.distribution.id,
    siteId: lane.siteId,
    generation: lane.pinned,
    what: 'cancelled',
  });
}

/**
 * A step of a lane failed. It waits until `retry_at`, longer with every failure in a row; parked
 * (null) where a person has to act. Its generation is unpinned unless a publication is open.
 * SUPERSEDED with a newer generation at hand: on to that one at once, not counted as a failure.
 * Null: no such pair. A cancelled lane stays cancelled.
 * @param attempt scheduled time of the activity that records it: the fence moves there, so that
 *   what still runs changes nothing
 */
export function recordFailure(
  db: Database,
  at: LaneAt,
  report: ErrorReport,
  attempt: number,
): Promise<Replication | null> {
  return db.transaction(async (tx) => {
    const lane = await lockLane(tx, at);
    if (lane === null) return null;
    const pin = sql`fence = greatest(fence, ${attempt}), pinned_generation = case when ${lane.publishing} then pinned_generation end`;
    if (report.code === 'SUPERSEDED' && !lane.publishing && lane.desired > (lane.pinned ?? 0))
      await supersede(tx, lane, pin);
    else await fail(tx, lane, report, pin);
    await rollUp(tx, lane.distribution.id);
    return readReplication(tx, at);
  });
}

async function supersede(tx: Tx, lane: LockedLane, pin: RawBuilder<unknown>): Promise<void> {
  if (!(await setLane(tx, lane, sql`state = ${toState('supersede')}, ${pin}`, isFrom('supersede'))))
    return;
  await recordEvent(tx, {
    distributionId: lane.distribution.id,
    siteId: lane.siteId,
    generation: lane.pinned,
    what: 'superseded',
  });
}

async function fail(
  tx: Tx,
  lane: LockedLane,
  report: ErrorReport,
  pin: RawBuilder<unknown>,
): Promise<void> {
  const failures = lane.retryCount + 1;
  const wait =
    ruleOf(report.code).then === 'person'
      ? null
      : Math.max(backoffOf(lane.distribution, failures), retryAfterOf(report));
  const failed = await setLane(
    tx,
    lane,
    sql`state = ${toState('fail')}, ${pin}, retry_count = ${failures}, retry_at = ${wait === null ? null : later(wait)},
        failure_code = ${report.code}, failure = ${JSON.stringify(report)}::jsonb`,
    isFrom('fail'),
  );
  if (!failed || NO_INCIDENT.includes(report.code)) return;
  await recordIncident(tx, {
    distributionId: lane.distribution.id,
    siteId: lane.siteId,
    generation: lane.pinned ?? lane.desired,
    report,
  });
}

/**
 * An attempt of a step begins: it takes the fence if it is newer than all before, and pins its
 * generation. Everything that it writes later is conditional on the fence.
 * @throws FENCED a newer attempt, order or failure came before it, or the lane works on another
 *   generation
 * @throws CANCELLED the lane is cancelled
 * @throws NAME_UNKNOWN no such pair
 */
export function startAttempt(
  db: Database,
  at: LaneAt,
  generation: number,
  attempt: number,
): Promise<Replication> {
  return db.transaction(async (tx) => {
    const lane = await lockLane(tx, at);
    if (lane === null)
      throw new DebgeoError('NAME_UNKNOWN', `${at.distribution} is not replicated to ${at.site}`);
    if (lane.state === 'cancelled')
      throw new DebgeoError('CANCELLED', `${at.distribution} at ${at.site} is cancelled`);
    if (attempt <= lane.fence) throw fenced(at, attempt, lane.fence);
    if (lane.pinned !== null && lane.pinned !== generation)
      throw new DebgeoError(
        'FENCED',
        `${at.distribution} at ${at.site} works on another generation`,
        {
          expected: `generation ${generation}`,
          found: `generation ${lane.pinned}`,
        },
      );
    const start = sql`state = ${toState('start')}, pinned_generation = ${generation}, fence = ${attempt},
      started_at = case when r.state = 'started' then r.started_at else now() end, retry_at = null`;
    if (!(await setLane(tx, lane, start, isFrom('start')))) throw fenced(at, attempt, lane.fence);
    await rollUp(tx, lane.distribution.id);
    return (await readReplication(tx, at))!;
  });
}

/**
 * Before the first blob is read back: takes up what was asked to verify until now. From here until
 * it is answered, through failures too, every blob is read that was not verified since that
 * request; a later request changes nothing of this and is taken up by the next chain. So each is
 * answered, however often somebody asks, and none by a chain that had begun to read before it.
 * @returns the request that is to be answered, null where nobody asked
 * @throws FENCED this attempt does not hold the fence any more
 * @throws NAME_UNKNOWN no such pair
 */
export function takeVerify(db: Database, at: LaneAt, attempt: number): Promise<number | null> {
  return db.transaction(async (tx) => {
    const lane = await lockLane(tx, at);
    if (lane === null)
      throw new DebgeoError('NAME_UNKNOWN', `${at.distribution} is not replicated to ${at.site}`);
    const take = sql`verify_taken_at = coalesce(r.verify_taken_at, r.verify_requested_at)`;
    if (!(await setLane(tx, lane, take, sql<boolean>`r.fence = ${attempt}`)))
      throw fenced(at, attempt, lane.fence);
    return (await readReplication(tx, at))!.verifyRequestedAt;
  });
}

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
    const lane = await lockLane(tx, at);
    if (lane === null)
      throw new DebgeoError('NAME_UNKNOWN', `${at.distribution} is not replicated to ${at.site}`);
    const behind = lane.desired > generation;
    const done = sql`
      state = case when r.cancel_requested and ${behind} then ${toState('cancel')} else ${toState(behind ? 'sync-behind' : 'sync')} end,
      cancel_requested = false, pinned_generation = null, retry_count = 0, retry_at = null, failure_code = null, failure = null,
      verify_answered_at = coalesce(r.verify_taken_at, r.verify_answered_at),
      verify_requested_at = case when r.verify_requested_at > r.verify_taken_at or r.verify_taken_at is null then r.verify_requested_at end,
      verify_taken_at = null,
      last_synced_at = now(), verified_at = now()`;
    const held = sql<boolean>`r.fence = ${attempt} and r.pinned_generation = ${generation} and r.served_generation = ${generation}
      and not ${isPublishing} and ${isFrom(behind ? 'sync-behind' : 'sync')}`;
    if (!(await setLane(tx, lane, done, held))) throw fenced(at, attempt, lane.fence);
    await recordEvent(tx, {
      distributionId: lane.distribution.id,
      siteId: lane.siteId,
      generation,
      what: 'synced',
    });
    await resolveIncidents(
      tx,
      { distributionId: lane.distribution.id, siteId: lane.siteId },
      `generation ${generation} is served, verified`,
    );
    await rollUp(tx, lane.distribution.id);
    return (await readReplication(tx, at))!;
  });
}

const fenced = (at: LaneAt, attempt: number, fence: number): DebgeoError =>
  new DebgeoError('FENCED', `a newer attempt works on ${at.distribution} at ${at.site}`, {
    expected: `fence ${attempt}`,
    found: `fence ${fence}`,
  });

const backoffOf = (distribution: LockedDistribution, failures: number): number =>
  backoffMs(
    failures,
    Math.random(),
    distribution.tuning.backoffInitialMs ?? LIMITS.backoffInitialMs,
    distribution.tuning.backoffCapMs ?? LIMITS.backoffCapMs,
  );

const retryAfterOf = (report: ErrorReport): number =>
  Math.min(report.retryAfterMs ?? 0, LIMITS.retryAfterMs);

/**
 * A newer generation was captured: every lane wants it. What is parked, paused or in work stays so;
 * its retry count, too.
 */
export async function wantGeneration(
  tx: Tx,
  distributionId: number,
  generation: number,
): Promise<void> {
  await run(
    tx,
    sql`
    update distribution_replications r set desired_generation = ${generation}, cancel_requested = false,
      state = case when ${isFrom('captured')} then ${toState('captured')} else r.state end
    where r.distribution_id = ${distributionId} and r.desired_generation < ${generation}`,
  );
}
