/** The only file of activities that reads Temporal's context. */
import { CancelledFailure, Context } from '@temporalio/activity';

/**
 * The worker sends at most one heartbeat a second; Temporal notices a dead worker after the
 * heartbeat timeout of ten.
 */
const HEARTBEAT_MS = 1_000;

export interface ActivityContext {
  /** Temporal's count of the attempts of this activity, from 1. */
  readonly attempt: number;
  /**
   * Aborted when the activity is cancelled, or its worker shuts down. To be given to every request
   * and every wait.
   */
  readonly signal: AbortSignal;
  /** Counts for the Temporal UI; never a cursor. */
  heartbeat(counts: Readonly<Record<string, number>>): void;
}

/**
 * How Temporal's SDK names the reason of a cancel that no workflow asked for: the worker stops, and
 * its grace is over.
 */
const WORKER_STOPS = 'WORKER_SHUTDOWN';

export function activityContext(): ActivityContext {
  const context = Context.current();
  return {
    attempt: context.info.attempt,
    signal: context.cancellationSignal,
    heartbeat: (counts) => context.heartbeat(counts),
  };
}

/** How often Temporal has started the activity, this time included. */
export const triesOfActivity = (): number => Context.current().info.attempt;

/**
 * Whether the activity is cut because its worker stops. Its slice then ends well, with what it
 * committed, and another worker goes on: Temporal would count an attempt that failed, and three
 * stops in a row would be a failure.
 */
export const isWorkerStopping = ({ signal }: Pick<ActivityContext, 'signal'>): boolean =>
  signal.reason instanceof CancelledFailure && signal.reason.message === WORKER_STOPS;

/**
 * Heartbeats every second while `work` runs, whatever it waits for. An activity that ends within
 * the first has none: each is a write of Temporal's history.
 */
export async function withHeartbeat<Result>(
  context: ActivityContext,
  counts: () => Readonly<Record<string, number>>,
  work: () => Promise<Result>,
): Promise<Result> {
  const timer = setInterval(() => context.heartbeat(counts()), HEARTBEAT_MS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}

/** The same for bookkeeping, which counts nothing: a lock may be held for longer than that. */
export const heartbeating =
  <Input, Result>(activity: (input: Input) => Promise<Result>) =>
  (input: Input): Promise<Result> =>
    withHeartbeat(
      activityContext(),
      () => ({}),
      () => activity(input),
    );
