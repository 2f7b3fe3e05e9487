/**
 * How much one worker asks of one site: operations at a time, bytes held for them, bytes a second.
 * One per site and worker, so that all lanes of a site share it and no other site feels it (I6).
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
  /** Bytes of blobs that are held for operations in flight. */
  readonly bytesInFlight: number;
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

interface Waiting {
  readonly bytes: number;
  readonly start: () => void;
}

export class Pace {
  readonly #limits: PaceLimits;
  #width: number;
  #running = 0;
  #heldBytes = 0;
  readonly #queue: Waiting[] = [];

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
   * Runs one operation in its turn: first come, first served.
   * @param heldBytes what it keeps in memory
   */
  async run<T>(heldBytes: number, signal: AbortSignal, operation: () => Promise<T>): Promise<T> {
    await this.#turn(heldBytes, signal);
    try {
      return await operation();
    } finally {
      this.#running -= 1;
      this.#heldBytes -= heldBytes;
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

  async #turn(bytes: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#queue.length === 0 && this.#fits(bytes)) return this.#start(bytes);
    this.#wasFull = true;
    const turn = Promise.withResolvers<void>();
    const waiting = { bytes, start: turn.resolve };
    const leave = (): void => {
      const at = this.#queue.indexOf(waiting);
      if (at < 0) return; // it may start already: the operation itself sees the signal
      this.#queue.splice(at, 1);
      turn.reject(signal.reason as Error);
    };
    this.#queue.push(waiting);
    signal.addEventListener('abort', leave, { once: true });
    try {
      await turn.promise;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  #fits(bytes: number): boolean {
    return (
      this.#running < this.#width &&
      (this.#running === 0 || this.#heldBytes + bytes <= this.#limits.bytesInFlight)
    );
  }

  #start(bytes: number): void {
    this.#running += 1;
    this.#heldBytes += bytes;
  }

  #startNext(): void {
    for (
      let next = this.#queue[0];
      next !== undefined && this.#fits(next.bytes);
      next = this.#queue[0]
    ) {
      this.#queue.shift();
      this.#start(next.bytes);
      next.start();
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
