import { ActivityFailure, ApplicationFailure, TimeoutFailure } from '@temporalio/workflow';

import { isErrorCode, type ErrorReport } from '../src/domain/errors.ts';
import { bounded } from '../src/domain/limits.ts';

/**
 * What an activity failed with, as it is recorded: its own report, STALLED when its worker was lost
 * or hung, or UNKNOWN.
 */
export function reportOf(error: unknown): ErrorReport {
  if (error instanceof ActivityFailure) return reportOf(error.cause);
  if (error instanceof TimeoutFailure)
    return { code: 'STALLED', message: bounded(`the activity timed out (${error.timeoutType})`) };
  if (error instanceof ApplicationFailure)
    return (
      coded(error.details?.[0]) ??
      coded({ code: error.type, message: error.message }) ??
      unknown(error)
    );
  return unknown(error);
}

function coded(detail: unknown): ErrorReport | null {
  if (
    typeof detail !== 'object' ||
    detail === null ||
    !('code' in detail) ||
    !isErrorCode(detail.code)
  )
    return null;
  const given = detail as Partial<ErrorReport>;
  return {
    code: detail.code,
    message: text(given.message ?? detail.code),
    ...(given.expected === undefined ? {} : { expected: text(given.expected) }),
    ...(given.found === undefined ? {} : { found: text(given.found) }),
    ...(given.state === undefined ? {} : { state: text(given.state) }),
    ...(typeof given.retryAfterMs === 'number' ? { retryAfterMs: given.retryAfterMs } : {}),
  };
}

const unknown = (error: unknown): ErrorReport => ({
  code: 'UNKNOWN',
  message: text(error instanceof Error ? `${error.name}: ${error.message}` : error),
});

/** What a worker of another version reports need not be a text. */
const text = (value: unknown): string => bounded(String(value));
