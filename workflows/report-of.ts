import { ActivityFailure, ApplicationFailure, TimeoutFailure } from '@temporalio/workflow';

import { isErrorCode, type ErrorReport } from '../src/domain/errors.ts';

/** Histories and rows hold what explains an error, not a page of it. */
const CHARACTERS_MAX = 1_000;

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
    message: bounded(given.message ?? detail.code),
    ...(given.expected === undefined ? {} : { expected: bounded(given.expected) }),
    ...(given.found === undefined ? {} : { found: bounded(given.found) }),
    ...(given.state === undefined ? {} : { state: bounded(given.state) }),
    ...(typeof given.retryAfterMs === 'number' ? { retryAfterMs: given.retryAfterMs } : {}),
  };
}

const unknown = (error: unknown): ErrorReport => ({
  code: 'UNKNOWN',
  message: bounded(error instanceof Error ? `${error.name}: ${error.message}` : error),
});

function bounded(text: unknown): string {
  const whole = String(text);
  return whole.length <= CHARACTERS_MAX ? whole : `${whole.slice(0, CHARACTERS_MAX)}…`;
}
