/**
 * What an answer of an archive, or the lack of one, means, in the codes that `Archive` promises.
 * `place` is a file of the archive as it may be printed: a URL without credentials and query, or a
 * path on this machine.
 */
import { DebgeoError } from '../domain/errors.ts';
import { parseRetryAfter } from '../domain/retry-after.ts';
import { quoted } from '../domain/text.ts';

/** Proxies and legal notices, too: nothing changes until a person acts. */
const DENIED = [401, 402, 403, 407, 451];
const THROTTLED = [429, 503];

/** What an error status of HTTP means (RFC 9110 §15; RFC 6585 §4). */
export function refusalError(
  place: string,
  status: number,
  retryAfter: string | undefined,
  retryAfterMax: number,
): DebgeoError {
  const facts = { expected: 'HTTP 200', found: `HTTP ${status}` };
  if (DENIED.includes(status))
    return new DebgeoError('ARCHIVE_DENIED', `${place} denies access`, facts);
  if (!THROTTLED.includes(status))
    return new DebgeoError('ARCHIVE_UNREACHABLE', `${place} answers with an error`, facts);
  const retryAfterMs = parseRetryAfter(retryAfter, Date.now(), retryAfterMax);
  return new DebgeoError('ARCHIVE_THROTTLED', `${place} asks us to wait`, {
    ...facts,
    ...(retryAfterMs === null ? {} : { retryAfterMs }),
  });
}

export const tooLarge = (place: string, sizeMax: number, found: string): DebgeoError =>
  new DebgeoError('LIMIT_EXCEEDED', `a file of ${place} is larger than it may be`, {
    expected: `at most ${sizeMax} bytes`,
    found,
  });

/** A dead line sends nothing; this archive sends, and would never end (TUF, "slow retrieval"). */
export const tooSlow = (place: string, min: number, rate: number): DebgeoError =>
  new DebgeoError('ARCHIVE_SLOW', `${place} sends too slowly`, {
    expected: `at least ${min} bytes a second`,
    found: `${Math.round(rate)} bytes a second`,
  });

export const unreachable = (place: string, found: string, cause?: unknown): DebgeoError =>
  new DebgeoError(
    'ARCHIVE_UNREACHABLE',
    `${place} does not answer as it should`,
    { found: quoted(found) },
    cause,
  );

/** The AbortError that `Archive` promises. */
export const aborted = (signal: AbortSignal): DOMException =>
  new DOMException('the archive is no longer asked', { name: 'AbortError', cause: signal.reason });

export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw aborted(signal);
}
