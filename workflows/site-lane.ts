/**
 * The lane of one site: brings the site to the newest snapshot, for as long as the distribution is
 * replicated there.
 *
 * The row is the truth. Every activity answers with the row that it has just committed, and the
 * lane decides on that alone; so it can be terminated at any instant, and the next run goes on. A
 * step works in slices of bounded time; between two of them the lane asks whether an operator's
 * command has come, or the run ends. Nothing here can reach another lane.
 */
import { ActivityFailure, CancellationScope, log, patched } from '@temporalio/workflow';

import { DebgeoError } from '../src/domain/errors.ts';
import {
  byOurClock,
  generationOf,
  isBehind,
  isDue,
  ticketOf,
  type Command,
  type Replication,
} from '../src/domain/replication.ts';
import {
  bookkeeping,
  JOINED_STEPS,
  STEP_WORDS,
  STEPS,
  stepsFor,
  type StepName,
} from './activity-options.ts';
import { PATCHES } from './patches.ts';
import { isRefused, record, REFUSED_MS } from './record.ts';
import { reportOf } from './report-of.ts';
import { until } from './until.ts';

export interface Lane {
  readonly distribution: string;
  readonly site: string;
  /** The newest committed row that this run has seen. */
  row: Replication;
  /** The operator's command that is not committed to the row yet. */
  command: Command | null;
  /** The site left the roster, or the run ends: the lane ends between two slices. */
  ending: boolean;
  /** What works now; cancelling it stops bytes at once. */
  work: CancellationScope | null;
  /** Called after every change of the row. */
  readonly changed: () => void;
}

/**
 * Repairs of one chain. A site that returns other bytes than were written, again and again, ends in
 * backoff and not in a busy loop.
 */
const REPAIRS_MAX = 5;

export async function siteLane(lane: Lane): Promise<void> {
  try {
    while (!lane.ending) {
      if (lane.command !== null) await commitCommand(lane, lane.command);
      else if (isDue(lane.row, Date.now())) await replicate(lane);
      else await untilNeeded(lane);
    }
  } catch (error) {
    if (!CancellationScope.current().consideredCancelled) throw error;
    // The workflow itself was cancelled: leave no row behind that says `started`.
    await CancellationScope.nonCancellable(() => commitCommand(lane, { want: 'cancel' }));
  }
}

/**
 * Keeps the newer of two rows: that of the lane, and one that an activity answered. Null: the
 * distribution is not replicated at this site any more.
 */
function keepNewer(lane: Lane, row: Replication | null): void {
  if (row === null) lane.ending = true;
  else if (row.rev > lane.row.rev) keep(lane, row);
  // the same row, read later: the next step brings its ticket
  else if (row.rev === lane.row.rev) lane.row = { ...lane.row, ...ticketOf(row) };
}

function keep(lane: Lane, row: Replication): void {
  lane.row = byOurClock(row, Date.now());
  lane.changed();
}

async function untilNeeded(lane: Lane): Promise<void> {
  const seen = lane.row;
  const deadline = isBehind(seen) ? seen.retryAt : null;
  await until(
    () => lane.ending || lane.command !== null || lane.row !== seen || isDue(lane.row, Date.now()),
    deadline,
    `${lane.site}: next attempt`,
  );
}

async function commitCommand(lane: Lane, command: Command): Promise<void> {
  const words = Object.entries(command).map(([what, value]) =>
    typeof value === 'string' ? value : `${what}: ${value}`,
  );
  const input = {
    distribution: lane.distribution,
    site: lane.site,
    ...command,
    ...ticketOf(lane.row),
  };
  const summary = `${lane.site}: ${words.join(', ')}`;
  try {
    keepNewer(lane, await bookkeeping.applyOrder.executeWithOptions({ summary }, [input]));
  } catch (error) {
    if (!isRefused(error)) throw error;
    log.error('a command could not be committed', { ...input, refusal: reportOf(error) });
  }
  // a command that came meanwhile is another object, and stays
  if (lane.command === command) lane.command = null;
}

/**
 * One chain of steps for one generation, in a scope of its own: cancelling it stops the work of
 * this site and of no other.
 */
async function replicate(lane: Lane): Promise<void> {
  const scope = new CancellationScope();
  lane.work = scope;
  try {
    await scope.run(() => chain(lane));
  } catch (error) {
    if (CancellationScope.current().consideredCancelled) throw error;
    // by a command, the removal of the site or the end of the run, which siteLane sees next
    if (scope.consideredCancelled) return;
    // a bug of ours: fails the workflow task, visibly
    if (!(error instanceof ActivityFailure || error instanceof DebgeoError)) throw error;
    await CancellationScope.nonCancellable(() => recordFailure(lane, error));
  } finally {
    lane.work = null;
  }
}

async function chain(lane: Lane): Promise<void> {
  const began = lane.row;
  // stays pinned in the row until published, failed or cancelled
  const generation = generationOf(began);
  const steps = stepsFor(began.queue);
  const isJoined = patched(PATCHES.joinedSteps);
  const order = isJoined ? JOINED_STEPS : STEPS;
  let step: StepName | null = order[0]!;
  let planned = !isJoined;
  let bad = 0;
  let repairs = 0;
  while (step !== null) {
    if (lane.ending || lane.command !== null) return;
    const input = {
      distribution: lane.distribution,
      site: lane.site,
      generation,
      ...ticketOf(lane.row),
      ...(step === 'syncBlobs' && !planned ? { plan: true } : {}),
      ...(step === 'publishSnapshot' && isJoined ? { probe: true } : {}),
    };
    const summary = `${lane.site}, generation ${generation}: ${wordsOf(step, input)}`;
    const answer = await steps[step].executeWithOptions({ summary }, [input]);
    // What was decided on is not so any more, as after a reset of this run: decide again.
    if (answer.stale) return keep(lane, answer.row);
    if (answer.row === undefined) lane.row = withLaterTicket(lane.row);
    else keepNewer(lane, answer.row);
    planned ||= answer.planned ?? false;
    bad += answer.repair;
    if (answer.more) continue;
    if (bad > 0 && ++repairs > REPAIRS_MAX)
      throw new DebgeoError(
        'NOT_VERIFIED',
        `${bad} blobs are wrong again after ${REPAIRS_MAX} repairs`,
      );
    step = bad > 0 ? 'syncBlobs' : (order[order.indexOf(step) + 1] ?? null);
    bad = 0;
  }
  if (!madeProgress(began, lane.row, generation))
    throw new DebgeoError('UNKNOWN', 'every step ended well and nothing changed');
}

/**
 * For a step that is given again without a newer row: later than its ticket, and earlier than any
 * that the database issues from then on, which are 1,000 apart.
 */
const withLaterTicket = (row: Replication): Replication =>
  row.ticket === undefined ? row : { ...row, ticket: row.ticket + 1 };

const wordsOf = (step: StepName, input: { plan?: boolean; probe?: boolean }): string =>
  [
    ...(input.plan ? [STEP_WORDS.planSync] : []),
    STEP_WORDS[step],
    ...(input.probe ? [STEP_WORDS.probeSite] : []),
  ].join(', ');

/**
 * No loop without progress: after a whole chain, the same work for the same reason is a failure,
 * with backoff.
 */
function madeProgress(began: Replication, now: Replication, generation: number): boolean {
  if (now.served < generation) return false;
  if (!isDue(now, Date.now()) || generationOf(now) !== generation) return true;
  // A verify that was asked for while a chain ran is answered by the next chain.
  return (
    now.state === 'synced' &&
    (began.state === 'started' || now.verifyRequestedAt !== began.verifyRequestedAt)
  );
}

/** The activity decides when the lane tries again, and says so in the row. */
async function recordFailure(lane: Lane, error: ActivityFailure | DebgeoError): Promise<void> {
  const report = error instanceof DebgeoError ? error.report : reportOf(error);
  const summary = `${lane.site}: record ${report.code}`;
  const row = await record(report, (given) =>
    bookkeeping.recordFailure.executeWithOptions({ summary }, [
      { distribution: lane.distribution, site: lane.site, report: given, ...ticketOf(lane.row) },
    ]),
  );
  if (row !== 'refused') return keepNewer(lane, row);
  // of this run alone: every row that is committed is newer, or the same and tells of no failure
  lane.row = { ...lane.row, state: 'failed', code: report.code, retryAt: Date.now() + REFUSED_MS };
  lane.changed();
}
