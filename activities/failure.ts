/** How an activity fails: the only place where a DebgeoError becomes a failure of Temporal. */
import { ApplicationFailure, CancelledFailure } from '@temporalio/activity';

import { DebgeoError, type ErrorReport } from '../src/domain/errors.ts';
import { activityContext } from './context.ts';

/**
 * What Temporal is told of an error.
 *
 * - Cancelled: any error that was thrown after the activity's own signal was aborted.
 * - A DebgeoError: `type` is its code, the detail its report; not retried by Temporal, because the
 *   lane and the capture loop do that.
 * - An abort or a timeout without a cancel: STALLED.
 * - Any other error has no code and stays as it is: Temporal retries it.
 */
export function failureOf(error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted)
    return signal.reason instanceof CancelledFailure
      ? signal.reason
      : new CancelledFailure('cancelled');
  if (error instanceof DebgeoError) return coded(error.report, error);
  if (isAbort(error))
    return coded(
      { code: 'STALLED', message: 'a request was given up', found: error.message },
      error,
    );
  return error;
}

/** Every activity of the vocabulary runs inside this. */
export function failing<Args extends unknown[], Result>(
  activity: (...args: Args) => Promise<Result>,
): (...args: Args) => Promise<Result> {
  return async (...args) => {
    try {
      return await activity(...args);
    } catch (error) {
      throw failureOf(error, activityContext().signal);
    }
  };
}

const isAbort = (error: unknown): error is Error =>
  error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError');

const coded = (report: ErrorReport, cause: Error): ApplicationFailure =>
  ApplicationFailure.create({
    type: report.code,
    message: report.message,
    nonRetryable: true,
    details: [report],
    cause,
  });
