/** Which errors of the driver say that PostgreSQL cannot be asked now, not that we ask wrongly. */

/**
 * Codes of PostgreSQL: connection lost or refused, the server stops or starts, it has no connection
 * left, it ended our idle transaction. Then those of Node's sockets.
 */
const UNREACHABLE = new Set([
  ...['08000', '08001', '08003', '08004', '08006', '57P01', '57P02', '57P03', '53300', '25P03'],
  ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH'],
  ...['ENOTFOUND', 'EAI_AGAIN'],
]);

/** The driver throws these without a code. */
const WITHOUT_CODE =
  /^(?:Connection terminated|timeout exceeded when|Client has encountered a connection error)/;

/** Nothing is known to be wrong but the way to the database: the same may work in a moment. */
export function isUnreachable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof AggregateError) return error.errors.some(isUnreachable);
  const { code } = error as { readonly code?: unknown };
  if (typeof code === 'string' && UNREACHABLE.has(code)) return true;
  return WITHOUT_CODE.test(error.message) || isUnreachable(error.cause);
}
