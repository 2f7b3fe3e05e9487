/**
 * The memory of a worker for bytes of blobs between their archive and their site.
 *
 * A route is an archive and a site. Only one of the two can make its blobs stay here, so each
 * route has a share of its own: an archive that trickles fills its own shares, a site that takes
 * nothing the ones that lead to it, and no other route waits for either. The share shrinks as
 * routes become busy (the bound of all divided by their number), and each may hold one blob,
 * whatever its size.
 */
export interface MemoryLimits {
  /** Of all routes together, bytes. */
  readonly memoryBytes: number;
  /** Of one route at most, bytes. */
  readonly routeBytes: number;
  /** Of one route at most: each is a request at the archive while it comes. */
  readonly routeBlobs: number;
}

interface Waiting {
  readonly bytes: number;
  readonly start: () => void;
}

interface Route {
  blobs: number;
  bytes: number;
  readonly queue: Waiting[];
}

export class Memory {
  readonly #limits: MemoryLimits;
  /** Those that hold or want something. */
  readonly #busy = new Map<string, Route>();

  constructor(limits: MemoryLimits) {
    this.#limits = limits;
  }

  /** Works once there is room for the bytes, which are free again when it ends. */
  async hold<T>(
    route: string,
    bytes: number,
    signal: AbortSignal,
    work: () => Promise<T>,
  ): Promise<T> {
    signal.throwIfAborted();
    const held = this.#routeOf(route);
    if (held.queue.length === 0 && this.#fits(held, bytes)) take(held, bytes);
    else await this.#room(route, held, bytes, signal);
    try {
      return await work();
    } finally {
      held.blobs -= 1;
      held.bytes -= bytes;
      this.#startNext(route, held);
    }
  }

  #routeOf(route: string): Route {
    let found = this.#busy.get(route);
    if (found === undefined) this.#busy.set(route, (found = { blobs: 0, bytes: 0, queue: [] }));
    return found;
  }

  #fits(route: Route, bytes: number): boolean {
    const { memoryBytes, routeBytes, routeBlobs } = this.#limits;
    const share = Math.min(routeBytes, memoryBytes / this.#busy.size);
    return route.blobs === 0 || (route.blobs < routeBlobs && route.bytes + bytes <= share);
  }

  async #room(name: string, route: Route, bytes: number, signal: AbortSignal): Promise<void> {
    const room = Promise.withResolvers<void>();
    const waiting = { bytes, start: room.resolve };
    const leave = (): void => {
      const at = route.queue.indexOf(waiting);
      if (at < 0) return; // it may start already: the work itself sees the signal
      route.queue.splice(at, 1);
      this.#startNext(name, route);
      room.reject(signal.reason as Error);
    };
    route.queue.push(waiting);
    signal.addEventListener('abort', leave, { once: true });
    try {
      await room.promise;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  /** The shares of all others grow when a route is not busy any more. */
  #startNext(name: string, route: Route): void {
    this.#startFitting(route);
    if (route.blobs > 0) return;
    this.#busy.delete(name);
    for (const other of this.#busy.values()) this.#startFitting(other);
  }

  #startFitting(route: Route): void {
    for (let next = route.queue[0]; next && this.#fits(route, next.bytes); next = route.queue[0]) {
      route.queue.shift();
      take(route, next.bytes);
      next.start();
    }
  }
}

function take(route: Route, bytes: number): void {
  route.blobs += 1;
  route.bytes += bytes;
}
