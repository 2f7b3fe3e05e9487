import type { DebgeoError } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';

/** Longer than a request may be silent, because the request's own error says more. Milliseconds. */
export const DEADLINE_MS = 2 * LIMITS.stallMs;

/**
 * @throws `late()` where the work did not end within `ms`, because the error of an abort says
 *   nothing; else what `work` throws
 */
export async function within<T>(
  late: () => DebgeoError,
  work: (signal: AbortSignal) => Promise<T>,
  ms: number = DEADLINE_MS,
): Promise<T> {
  const signal = AbortSignal.timeout(ms);
  try {
    return await work(signal);
  } catch (error) {
    throw signal.aborted &&
      error instanceof Error &&
      ['TimeoutError', 'AbortError'].includes(error.name)
      ? late()
      : error;
  }
}
