/** The only file of activities that reads Temporal's context. */
import { Context } from '@temporalio/activity';

/** The worker sends at most one heartbeat a second; a dead worker is seen after the heartbeat timeout of ten. */
const HEARTBEAT_MS = 1_000;

export interface ActivityContext {
  /** When Temporal scheduled this attempt, milliseconds since 1970: the fence. */
  readonly attempt: number;
  /** Aborted when the activity is cancelled, or its worker shuts down. Belongs into every request and every wait. */
  readonly signal: AbortSignal;
  /** Counts for the Temporal UI; never a cursor. */
  heartbeat(counts: Readonly<Record<string, number>>): void;
}

export function activityContext(): ActivityContext {
  const context = Context.current();
  return {
    attempt: context.info.currentAttemptScheduledTimestampMs,
    signal: context.cancellationSignal,
    heartbeat: (counts) => context.heartbeat(counts),
  };
}

/** Heartbeats every second while `work` runs, whatever it waits for. */
export async function withHeartbeat<Result>(
  context: ActivityContext,
  counts: () => Readonly<Record<string, number>>,
  work: () => Promise<Result>,
): Promise<Result> {
  context.heartbeat(counts());
  const timer = setInterval(() => context.heartbeat(counts()), HEARTBEAT_MS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}
