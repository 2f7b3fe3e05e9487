/**
 * The body of an archive's answer over HTTP, read to the end or refused. Every wait has its own
 * end, and a body that breaks off never looks like a whole one.
 */
import { once } from 'node:events';
import type http from 'node:http';

import { DebgeoError } from '../domain/errors.ts';
import { throwIfAborted, tooLarge, tooSlow, unreachable } from './archive-error.ts';

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

/** An unwanted body is read to its end up to here, so that the connection is kept. */
const DISCARD_BYTES = 16 * 1024;

/** Ends a request that has no answer yet, also while it waits for the tunnel of a proxy. */
export function giveUp(request: http.ClientRequest, why: Error): void {
  request.destroy(why);
  // There is no connection yet that would say so.
  if (request.socket === null) request.emit('error', why);
}

/**
 * Only waiting for the archive counts as slowness: the time that the reader takes for a chunk does
 * not.
 * @param stalled ends the answer with an error
 * @param unread the timer that ends an answer whose body is never read
 * @param place the URL as it may be printed
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
 * Reads an unwanted body to its end, so that the connection is free for the next request; closes
 * the connection where that would cost more.
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
