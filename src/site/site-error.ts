/**
 * What an answer of a site, or the lack of one, means. Messages carry no URL: it may hold a SAS,
 * and a RestError holds it in `request.url`.
 */
import { DebgeoError, type ErrorCode } from '../domain/errors.ts';
import { parseRetryAfter } from '../domain/retry-after.ts';
import type { Watchdog } from './watchdog.ts';

/**
 * An answer with an error status. `code` is Azure's x-ms-error-code, empty if there is none
 * (another server than Azure's, or a gateway).
 */
export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly retryAfter: string | null;
}

/** What was being done: `write debian/dists/bookworm/InRelease at fra`. */
export type Doing = string;

/**
 * The code for an error status as such; `denied` is what 401 and 403 mean, which differs for
 * writers and for the public.
 */
export function refusalError(refusal: Refusal, doing: Doing, denied: ErrorCode): DebgeoError {
  const { status, code } = refusal;
  const found = code === '' ? `${status}` : `${status} ${code}`;
  if (status === 429 || status === 503) {
    const retryAfterMs = parseRetryAfter(refusal.retryAfter, Date.now());
    return new DebgeoError(
      'SITE_THROTTLED',
      `cannot ${doing} now`,
      retryAfterMs === null ? { found } : { found, retryAfterMs },
    );
  }
  if (status === 401 || status === 403)
    return new DebgeoError(denied, `may not ${doing}`, { found });
  if (code === 'ContainerNotFound' || code === 'ContainerBeingDeleted') {
    return new DebgeoError(
      'SITE_CONTAINER_MISSING',
      `cannot ${doing}: its container does not exist`,
      { found },
    );
  }
  // Md5Mismatch: the bytes changed on the way.
  if (status >= 500 || code === 'Md5Mismatch')
    return new DebgeoError('SITE_UNREACHABLE', `cannot ${doing}`, { found });
  return new DebgeoError('SITE_REFUSED', `cannot ${doing}`, { found });
}

/**
 * The error of a request that ended without an answer. The caller's own abort comes first, a stall
 * second; whatever else broke off is unreachable, an AbortError too: that is how the Azure SDK
 * reports a truncated body.
 */
export function brokenOff(
  error: unknown,
  watchdog: Watchdog,
  caller: AbortSignal,
  doing: Doing,
): unknown {
  if (caller.aborted) return caller.reason;
  if (watchdog.stalled)
    return new DebgeoError('SITE_STALLED', `gave up to ${doing}: too few bytes moved for too long`);
  if (!(error instanceof Error) || error instanceof DebgeoError || error instanceof TypeError)
    return error;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  return new DebgeoError('SITE_UNREACHABLE', `cannot ${doing}`, { found: code });
}
