/** Activities called in process as Temporal would call them, each as an attempt that may fail. */
import { syncBuiltinESMExports } from 'node:module';
import timers from 'node:timers/promises';

import { asyncLocalStorage, Context } from '@temporalio/activity';

import type { ErrorReport } from '../../src/domain/errors.ts';
import { Attempt, attempts, type Fault } from './attempt.ts';
import type { SiteClock } from './stand-in.ts';

const realSleep = timers.setTimeout;
export const wait = (ms: number): Promise<void> => realSleep(ms);

export type Outcome<T> =
  | { readonly is: 'done'; readonly answer: T }
  /** With a code: its lane records it. Null: Temporal tries again. */
  | { readonly is: 'failed'; readonly report: ErrorReport | null; readonly error: unknown }
  | { readonly is: 'killed' }
  | { readonly is: 'frozen'; readonly attempt: Attempt; readonly ended: Promise<unknown> };

/**
 * @param tries Temporal's count of the attempts of this activity, from 1
 * @param unblock called again and again while the attempt waits for something
 */
export async function runAttempt<T>(
  work: () => Promise<T>,
  options: {
    readonly fault: Fault | null;
    readonly tries: number;
    /** Of the sites. */
    readonly clock: SiteClock;
    readonly unblock: () => Promise<void>;
    /** The fault came to pass. */
    readonly onHit: () => void;
  },
): Promise<Outcome<T>> {
  const attempt = new Attempt(options.fault, options.clock, options.onHit);
  let outcome: Outcome<T> | null = null;
  const ended = attempts
    .run(attempt, () => inActivity(work, options.tries))
    .then(
      (answer) => void (outcome = { is: 'done', answer }),
      (error: unknown) =>
        void (outcome = attempt.isDead
          ? { is: 'killed' }
          : { is: 'failed', report: reportOf(error), error }),
    );
  for (let isFirst = true; outcome === null && !attempt.isStill; isFirst = false) {
    await Promise.race([ended, wait(isFirst ? 2 : 10), untilFrozen(attempt, ended)]);
    if (outcome === null && !isFirst) await options.unblock();
  }
  return outcome ?? { is: 'frozen', attempt, ended };
}

/** Or over. */
async function untilFrozen(attempt: Attempt, ended: Promise<unknown>): Promise<void> {
  let isOver = false;
  void ended.then(() => (isOver = true));
  if (attempt.fault?.how.startsWith('frozen') !== true) return void (await ended);
  while (!attempt.isStill && !isOver) await wait(1);
}

function inActivity<T>(work: () => Promise<T>, tries: number): Promise<T> {
  const nothing = {} as any;
  const context = new Context(
    { attempt: tries } as any,
    new Promise<never>(() => {}),
    new AbortController().signal,
    () => {},
    undefined,
    nothing,
    nothing,
    nothing,
  );
  return asyncLocalStorage.run(context, work);
}

/** As workflows/report-of.ts reads a failure; null: Temporal would try again. */
function reportOf(error: unknown): ErrorReport | null {
  const { type, details } = error as { type?: string; details?: readonly ErrorReport[] };
  return type === undefined ? null : (details?.[0] ?? null);
}

/** From now on an attempt that sleeps has slept, by the clock of its sites. */
export function sleepVirtually(): void {
  timers.setTimeout = (async (ms: number, value: unknown, options?: { signal?: AbortSignal }) => {
    const attempt = attempts.getStore();
    if (attempt === undefined) return realSleep(ms, value, options);
    attempt.clock.tick(ms);
    options?.signal?.throwIfAborted();
    await realSleep(1);
    options?.signal?.throwIfAborted();
    return value;
  }) as typeof realSleep;
  syncBuiltinESMExports();
}
