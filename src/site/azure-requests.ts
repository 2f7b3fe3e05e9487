/**
 * The one way in which all requests to a container wait for their turn, end and fail: a watchdog
 * for each, once more after a reset, and a short Retry-After waited out here.
 */
import { Readable } from 'node:stream';

import { DebgeoError } from '../domain/errors.ts';
import type { RepoPath } from '../domain/repo-path.ts';
import type { AzureContainer } from './azure-container.ts';
import { Absent, Conflict, failureOf } from './azure-failures.ts';
import { headOf, incomplete } from './azure-headers.ts';
import { Download } from './download.ts';
import type { Pace } from './pace.ts';
import type { Doing } from './site-error.ts';
import { Watchdog, type Patience } from './watchdog.ts';

/** Bytes handed to a socket at a time: the watchdog sees an upload move at this grain. */
export const PIECE_BYTES = 64 * 1024;

export class AzureRequests {
  readonly #container: AzureContainer;
  readonly #patience: Patience;
  readonly #pace: Pace;

  constructor(container: AzureContainer, patience: Patience, pace: Pace) {
    this.#container = container;
    this.#patience = patience;
    this.#pace = pace;
  }

  /**
   * @param bytes that the request moves: more of them may take longer
   * @throws Absent, Conflict, and what SiteStore promises of all calls
   */
  send<T>(
    doing: Doing,
    signal: AbortSignal,
    bytes: number,
    request: (watchdog: Watchdog) => Promise<T>,
  ): Promise<T> {
    return this.#patiently(signal, () => this.#attempt(doing, signal, bytes, request));
  }

  /** For `send`: small bodies as they are, the others piece by piece, each paid for. */
  bodyOf(bytes: Buffer, watchdog: Watchdog, signal: AbortSignal): Buffer | (() => Readable) {
    if (bytes.length <= PIECE_BYTES) return bytes;
    return () =>
      Readable.from(this.#pieces(bytes, watchdog, signal), {
        objectMode: false,
        highWaterMark: PIECE_BYTES,
      });
  }

  /** @returns null: there is none; with `etag`, `changed`: it is another version by now */
  openVersion(
    path: RepoPath,
    signal: AbortSignal,
    etag?: string,
  ): Promise<Download | 'changed' | null> {
    return this.#patiently(signal, () => this.#openVersion(path, signal, etag));
  }

  /**
   * Azurite answers 412 to a condition on a blob that is not there: 412 alone does not tell absent
   * from changed.
   */
  async exists(path: RepoPath, signal: AbortSignal): Promise<boolean> {
    const blob = this.#container.blobAt(path);
    try {
      await this.send(this.#container.doing('look at', path), signal, 0, (watchdog) =>
        blob.getProperties({ abortSignal: watchdog.signal }),
      );
      return true;
    } catch (error) {
      if (error instanceof Absent) return false;
      throw error;
    }
  }

  /**
   * Waits out what a throttled site asks for while that is short: the work done so far is not given
   * up for a second.
   */
  async #patiently<T>(signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
    const since = performance.now();
    for (;;) {
      await this.#pace.waitOutThrottle(signal);
      const sentAt = performance.now();
      try {
        return await attempt();
      } catch (error) {
        if (!(error instanceof DebgeoError) || error.code !== 'SITE_THROTTLED') throw error;
        if (!this.#pace.slowDown(error.report.retryAfterMs ?? null, sentAt, since)) throw error;
      }
    }
  }

  async #attempt<T>(
    doing: Doing,
    signal: AbortSignal,
    bytes: number,
    request: (watchdog: Watchdog) => Promise<T>,
  ): Promise<T> {
    const watchdog = new Watchdog(signal, this.#patience, bytes);
    try {
      watchdog.wait();
      return await this.#container.connections.send(() => request(watchdog));
    } catch (error) {
      throw failureOf(error, watchdog, signal, doing);
    } finally {
      watchdog.end();
    }
  }

  async #openVersion(
    path: RepoPath,
    signal: AbortSignal,
    etag?: string,
  ): Promise<Download | 'changed' | null> {
    const target = this.#container.targetOf(path);
    const doing = this.#container.doing('read', path);
    const watchdog = new Watchdog(signal, this.#patience, 0);
    try {
      watchdog.wait();
      const headers = etag === undefined ? {} : { 'if-match': etag };
      const answer = await this.#container.connections.send(() =>
        this.#container.http.send('GET', target, headers, null, watchdog.signal),
      );
      watchdog.rest();
      const { etag: found, lastModified, size } = headOf(answer);
      if (found === undefined || lastModified === undefined || size === undefined) {
        answer.destroy();
        throw incomplete(doing);
      }
      watchdog.expect(size);
      const version = { etag: found, size, lastModified: lastModified.getTime() };
      return new Download(version, answer, { watchdog, pace: this.#pace, signal, doing });
    } catch (error) {
      watchdog.end();
      const failure = failureOf(error, watchdog, signal, doing);
      if (failure instanceof Absent) return null;
      if (failure instanceof Conflict) return (await this.exists(path, signal)) ? 'changed' : null;
      throw failure;
    }
  }

  async *#pieces(bytes: Buffer, watchdog: Watchdog, signal: AbortSignal): AsyncGenerator<Buffer> {
    for (let start = 0; start < bytes.length; start += PIECE_BYTES) {
      const piece = bytes.subarray(start, start + PIECE_BYTES);
      watchdog.rest();
      await this.#pace.spend(piece.length, signal);
      watchdog.wait();
      yield piece;
    }
  }
}
