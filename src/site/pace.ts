/**
 * How much one worker asks of one site: requests at a time, bytes a second. One per site and
 * worker, so that all lanes of a site share it and no other site feels it (I6).
 *
 * A turn is taken for one request, when its bytes are in memory (memory.ts): then only the site can
 * make it long. Turns go round robin over queues, so that an archive with much to copy does not
 * hold up one with little, nor what is written what is only read.
 *
 * The width grows by a quarter while the throughput grows with it, goes back to the best one when
 * it does not, and tries again later. 429 and 503 halve it; what they ask for (Retry-After, RFC
 * 9110 §10.2.3) holds for every request to the site. The lane waits where the wait is beyond the
 * patience, in the database.
 */
import { setTimeout as sleep } from 'node:timers/promises';

export interface PaceLimits {
  readonly widthMin: number;
  readonly widthStart: number;
  readonly widthMax: number;
  /** How long an operation waits in memory for a throttled site, milliseconds. */
  readonly throttlePatienceMs: number;
}

/** Long enough for a rate, short enough to follow a site through its day. Milliseconds. */
const WINDOW_MS = 1_000;
/** Windows at the best known width before wider ones are tried again. */
const HOLD_WINDOWS = 30;
/**
 * What a request costs beside its bytes, in bytes: so that throughput means something for small
 * blobs, too.
 */
const REQUEST_BYTES = 32 * 1024;
/**
 * A wider one must carry this much more: what is less is noise of a window, and more in flight
 * costs the site something, too.
 */
const GROWTH = 1.1;
/** How long a site that names no time is left alone. Milliseconds. */
const THROTTLED_MS = 1_000;

export class Pace {
  readonly #limits: PaceLimits;
  #width: number;
  #running = 0;
  /** Those that wait, by queue; the queue whose turn is next comes first. */
  readonly #queues = new Map<string, (() => void)[]>();

  #bytesPerSecond: number | null = null;
  /** When all bytes that were let through are paid for. */
  #paidAt = 0;
  #pausedUntil = 0;
  #slowedAt = -Infinity;

  #windowFrom = performance.now();
  #carried = 0;
  #operations = 0;
  #wasFull = false;
  #best: { readonly rate: number; readonly width: number } | null = null;
  #hold = 0;

  constructor(limits: PaceLimits) {
    this.#limits = limits;
    this.#width = limits.widthStart;
  }

  /** Operations that may be in flight now. */
  get width(): number {
    return this.#width;
  }

  /** Of everything written to and read from the site, null: as fast as it goes. */
  limitTo(bytesPerSecond: number | null): void {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /**
   * Runs one operation in its turn.
   * @param queue first come, first served in each; the queues take turns
   */
  async run<T>(queue: string, signal: AbortSignal, operation: () => Promise<T>): Promise<T> {
    await this.#turn(queue, signal);
    try {
      return await operation();
    } finally {
      this.#running -= 1;
      this.#operations += 1;
      this.#carried += REQUEST_BYTES;
      this.#adapt();
      this.#startNext();
    }
  }

  /**
   * Counts bytes before they go out, or after they came in.
   * @returns the wait that the byte rate asks for; null: none
   */
  spend(bytes: number, signal: AbortSignal): Promise<void> | null {
    this.#carried += bytes;
    if (this.#bytesPerSecond === null) return null;
    const now = performance.now();
    const start = Math.max(now, this.#paidAt);
    this.#paidAt = start + (bytes / this.#bytesPerSecond) * 1000;
    return start > now ? sleep(start - now, undefined, { signal }) : null;
  }

  /** Before a request: waits as long as a throttled site asked for. */
  async waitOutThrottle(signal: AbortSignal): Promise<void> {
    for (
      let left = this.#pausedUntil - performance.now();
      left > 0;
      left = this.#pausedUntil - performance.now()
    ) {
      await sleep(left, undefined, { signal });
    }
  }

  /**
   * The site answered a request that was sent at `sentAt` (performance.now()) with 429 or 503.
   * @param since when the operation began to try
   * @returns whether to wait here and send again; false: the wait is the lane's
   */
  slowDown(retryAfterMs: number | null, sentAt: number, since: number): boolean {
    const now = performance.now();
    const waitMs = retryAfterMs ?? THROTTLED_MS;
    if (sentAt > this.#slowedAt) {
      this.#slowedAt = now; // the rest of a volley that was on its way counts as one
      this.#width = Math.max(this.#limits.widthMin, Math.floor(this.#width / 2));
      this.#best = null;
      this.#hold = HOLD_WINDOWS;
      this.#beginWindow(now);
    }
    if (now + waitMs - since > this.#limits.throttlePatienceMs) return false;
    this.#pausedUntil = Math.max(this.#pausedUntil, now + waitMs);
    return true;
  }

  async #turn(queue: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    // A slot that is free is given to those that wait before anything else happens.
    if (this.#queues.size === 0 && this.#running < this.#width) return void (this.#running += 1);
    this.#wasFull = true;
    const turn = Promise.withResolvers<void>();
    const start = turn.resolve;
    const leave = (): void => {
      const waiting = this.#queues.get(queue) ?? [];
      const at = waiting.indexOf(start);
      if (at < 0) return; // it may start already: the operation itself sees the signal
      waiting.splice(at, 1);
      if (waiting.length === 0) this.#queues.delete(queue);
      turn.reject(signal.reason as Error);
    };
    const waiting = this.#queues.get(queue);
    if (waiting === undefined) this.#queues.set(queue, [start]);
    else waiting.push(start);
    signal.addEventListener('abort', leave, { once: true });
    try {
      await turn.promise;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  #startNext(): void {
    for (const [queue, waiting] of this.#queues) {
      if (this.#running >= this.#width) return;
      this.#queues.delete(queue);
      const start = waiting.shift()!;
      if (waiting.length > 0) this.#queues.set(queue, waiting); // the last one now, and met again
      this.#running += 1;
      start();
    }
  }

  #adapt(): void {
    const now = performance.now();
    if (now - this.#windowFrom < WINDOW_MS || this.#operations < this.#width) return;
    const rate = this.#carried / (now - this.#windowFrom);
    const wasFull = this.#wasFull;
    this.#beginWindow(now);
    if (!wasFull) return; // there was less to do than it could take

    if (this.#hold > 0) {
      this.#hold -= 1;
      if (this.#hold === 0) this.#best = null;
    } else if (this.#bytesPerSecond !== null) {
      // A limited rate says nothing about the width: back to the usual one after it was halved, and
      // no further.
      if (this.#width < this.#limits.widthStart) this.#width += 1;
    } else if (this.#best === null || rate > this.#best.rate * GROWTH) {
      this.#best = { rate, width: this.#width };
      this.#width = Math.min(this.#limits.widthMax, this.#width + Math.max(1, this.#width >> 2));
    } else {
      this.#width = this.#best.width;
      this.#hold = HOLD_WINDOWS;
    }
  }

  #beginWindow(now: number): void {
    this.#windowFrom = now;
    this.#carried = 0;
    this.#operations = 0;
    this.#wasFull = false;
  }
}
