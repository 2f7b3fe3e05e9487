/**
 * The memory of the process for decoders. A decoder that needs more than is free waits, first come,
 * first served. It waits for nothing else while it has its memory, so none waits for ever.
 */
import { LIMITS } from '../domain/limits.ts';

interface Waiting {
  readonly bytes: number;
  readonly start: () => void;
}

export class DecoderMemory {
  #free: number;
  readonly #queue: Waiting[] = [];

  constructor(bytes: number) {
    this.#free = bytes;
  }

  /** @throws what the signal says, when it ends before there is room */
  async take(bytes: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#queue.length === 0 && bytes <= this.#free) return void (this.#free -= bytes);
    const room = Promise.withResolvers<void>();
    const waiting = { bytes, start: room.resolve };
    const leave = (): void => {
      const at = this.#queue.indexOf(waiting);
      if (at < 0) return; // it has its memory already, and gives it back
      this.#queue.splice(at, 1);
      this.give(0);
      room.reject(signal!.reason as Error);
    };
    this.#queue.push(waiting);
    signal?.addEventListener('abort', leave, { once: true });
    try {
      await room.promise;
    } finally {
      signal?.removeEventListener('abort', leave);
    }
  }

  give(bytes: number): void {
    this.#free += bytes;
    for (let next = this.#queue[0]; next && next.bytes <= this.#free; next = this.#queue[0]) {
      this.#queue.shift();
      this.#free -= next.bytes;
      next.start();
    }
  }
}

/** liblzma's memory is one for the process, so this is, too. */
export const decoderMemory = new DecoderMemory(LIMITS.decoderBytes);
