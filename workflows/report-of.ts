import { ActivityFailure, ApplicationFailure, TimeoutFailure } from '@temporalio/workflow';

import { isErrorCode, printableReport, type ErrorReport } from '../src/domain/errors.ts';

/**
 * What an activity failed with, as it is recorded: its own report, STALLED when its worker was lost
 * or hung, or UNKNOWN. Its texts are printable and bounded, whatever a worker of another version
 * sent.
 */
export function reportOf(error: unknown): ErrorReport {
  if (error instanceof ActivityFailure) return reportOf(error.cause);
  if (error instanceof TimeoutFailure)
    return printableReport({
      code: 'STALLED',
      message: `the activity timed out (${error.timeoutType})`,
    });
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
  const { code } = detail;
  return printableReport({ message: code, ...(detail as Partial<ErrorReport>), code });
}

const unknown = (error: unknown): ErrorReport =>
  printableReport({
    code: 'UNKNOWN',
    message: error instanceof Error ? `${error.name}: ${error.message}` : (error as string),
  });
