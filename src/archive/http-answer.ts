/**
 * What an archive answers over http: its body, read to the end or refused, and what its status
 * means for us (RFC 9110, 15; RFC 6585, 4). Every wait has its own end, and a body that breaks off
 * never looks like a whole one.
 */
import { once } from 'node:events';
import type http from 'node:http';

import { DebgeoError, type ErrorReport } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';

/**
 * Those of LIMITS that reading an archive keeps, and the time over which a rate is measured. A test
 * sets smaller ones.
 */
export interface HttpArchiveLimits {
  readonly releaseBytes: number;
  readonly answerMs: number;
  readonly stallMs: number;
  readonly fetchMs: number;
  readonly bytesPerSecondMin: number;
  readonly rateWindowMs: number;
  readonly redirects: number;
  readonly retryAfterMs: number;
}

/** Proxies and legal notices, too: nothing changes until somebody acts. */
const DENIED = [401, 402, 403, 407, 451];
const THROTTLED = [429, 503];
/** A body that nobody needs is read to its end up to here, so that the connection is kept. */
const DISCARD_BYTES = 16 * 1024;

/**
 * Only waiting for the archive counts as slowness: the time that the reader takes for a chunk does
 * not.
 * @param place the URL as it may be printed
 * @param unread the timer that watched until somebody began to read
 */
export async function* readBody(
  answer: http.IncomingMessage,
  stalled: () => void,
  unread: NodeJS.Timeout,
  place: string,
  sizeMax: number,
  limits: HttpArchiveLimits,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  let size = 0;
  let windowBytes = 0;
  let windowMs = 0;
  let waitingSince = performance.now();
  clearTimeout(unread);
  let watchdog = setTimeout(stalled, limits.stallMs);
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      clearTimeout(watchdog);
      size += chunk.length;
      if (size > sizeMax) throw tooLarge(place, sizeMax, 'more');
      windowBytes += chunk.length;
      windowMs += performance.now() - waitingSince;
      if (windowMs >= limits.rateWindowMs) {
        const rate = windowBytes / (windowMs / 1000);
        if (rate < limits.bytesPerSecondMin) throw tooSlow(place, limits.bytesPerSecondMin, rate);
        windowBytes = 0;
        windowMs = 0;
      }
      yield chunk;
      throwIfAborted(signal);
      waitingSince = performance.now();
      watchdog = setTimeout(stalled, limits.stallMs);
    }
    if (!answer.complete) throw unreachable(place, `the answer broke off after ${size} bytes`);
  } catch (error) {
    throwIfAborted(signal);
    if (error instanceof DebgeoError) throw error;
    throw unreachable(place, `the answer broke off after ${size} bytes`, error);
  } finally {
    clearTimeout(watchdog);
    answer.destroy();
  }
}

/**
 * Reads what nobody needs, so that the connection is free for the next request; gives the
 * connection up where that would cost more.
 */
export async function discard(
  answer: http.IncomingMessage,
  limits: HttpArchiveLimits,
): Promise<void> {
  const timer = setTimeout(() => answer.destroy(), limits.stallMs);
  let size = 0;
  answer.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > DISCARD_BYTES) answer.destroy();
  });
  if (!answer.closed) await once(answer, 'close');
  clearTimeout(timer);
}

export function refusal(
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
  return new DebgeoError('ARCHIVE_THROTTLED', `${place} asks us to wait`, {
    ...facts,
    ...waitOf(retryAfter, retryAfterMax),
  });
}

/** Retry-After is a number of seconds or a date (RFC 9110, 10.2.3). */
function waitOf(retryAfter: string | undefined, max: number): Pick<ErrorReport, 'retryAfterMs'> {
  if (retryAfter === undefined) return {};
  const ms = /^\d+$/.test(retryAfter)
    ? Number(retryAfter) * 1000
    : Date.parse(retryAfter) - Date.now();
  return Number.isNaN(ms) ? {} : { retryAfterMs: Math.min(Math.max(ms, 0), max) };
}

export const tooLarge = (place: string, sizeMax: number, found: string): DebgeoError =>
  new DebgeoError('LIMIT_EXCEEDED', `a file of ${place} is larger than it may be`, {
    expected: `at most ${sizeMax} bytes`,
    found,
  });

/**
 * A dead line sends nothing; this one does, so little that nothing ever ends (TUF, "slow retrieval
 * attack").
 */
const tooSlow = (place: string, min: number, rate: number): DebgeoError =>
  new DebgeoError('ARCHIVE_SLOW', `${place} sends too slowly`, {
    expected: `at least ${min} bytes a second`,
    found: `${Math.round(rate)} bytes a second`,
  });

export const unreachable = (place: string, found: string, cause?: unknown): DebgeoError =>
  new DebgeoError(
    'ARCHIVE_UNREACHABLE',
    `${place} does not answer as it should`,
    { found: found.slice(0, LIMITS.quotedCharacters) },
    cause,
  );

export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted)
    throw new DOMException('the archive is no longer asked', {
      name: 'AbortError',
      cause: signal.reason,
    });
}
