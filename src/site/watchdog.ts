/**
 * Ends one request when the other side is silent or too slow, or when the caller does not want it
 * any more. Neither the Azure SDK nor node:http ever ends a request to a server that accepts and
 * does not answer.
 *
 * Only waiting counts: between `wait` and `rest`. A consumer that takes its time with the bytes is
 * not a stall of the site.
 */
export interface Patience {
  /** A request that no byte moves on for this long is ended, milliseconds. */
  readonly stallMs: number;
  /** With this rate a request of n bytes may take stallMs + n / rate in all, bytes per second. */
  readonly bytesPerSecondMin: number;
}

export class Watchdog {
  readonly #controller = new AbortController();
  readonly #caller: AbortSignal;
  readonly #patience: Patience;
  readonly #stop = () => this.#controller.abort();
  #leftMs: number;
  #timer: NodeJS.Timeout | undefined;
  #since = 0;
  #stalled = false;
  #ended = false;

  constructor(caller: AbortSignal, patience: Patience, bytes: number) {
    this.#caller = caller;
    this.#patience = patience;
    this.#leftMs = patience.stallMs;
    this.expect(bytes);
    if (caller.aborted) this.#stop();
    else caller.addEventListener('abort', this.#stop, { once: true });
  }

  /** Give this to the request. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get stalled(): boolean {
    return this.#stalled;
  }

  /** More bytes are to be transferred than was known at the start. */
  expect(bytes: number): void {
    this.#leftMs += (bytes / this.#patience.bytesPerSecondMin) * 1000;
  }

  /** From now on the other side is waited for; also: a byte moved. */
  wait(): void {
    this.rest();
    // the body of a request that is answered already may still be on its way here
    if (this.#ended) return;
    this.#since = performance.now();
    this.#timer = setTimeout(
      () => this.#bite(),
      Math.max(0, Math.min(this.#patience.stallMs, this.#leftMs)),
    );
  }

  /** From now on the worker itself is busy with the bytes. */
  rest(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#leftMs -= performance.now() - this.#since;
  }

  end(): void {
    this.rest();
    this.#ended = true;
    this.#caller.removeEventListener('abort', this.#stop);
  }

  #bite(): void {
    this.#stalled = true;
    this.#controller.abort();
  }
}
