/**
 * Bytes of blobs on the worker's disk, so that one read of an archive serves many sites.
 *
 * Content-addressed and single-flight: lanes that want the same digest at the same time share one
 * fetch. A fetch goes at its own pace: lanes wait for it, never for each other, and it goes on
 * while any of them still wants it. What is not of the announced size and SHA-256 is never given
 * out. Bounded in bytes, with those that are on their way to the disk; the oldest go first. A lane
 * that is further behind fetches again, which is counted; what has no room passes by. Nothing
 * relies on it: without it, or with a broken disk, the same bytes come from where they came from
 * before.
 */
import { createHash } from 'node:crypto';

import { DebgeoError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import type { Sha256 } from '../domain/sha256.ts';
import { Shelf, type Room, type ShelfBounds } from './shelf.ts';

/** The bytes where they come from; null: they are not there. */
export type Fetch = (signal: AbortSignal) => Promise<AsyncIterable<Uint8Array> | null>;

export interface Announced {
  /** bytes */
  readonly size: number;
  readonly sha256: Sha256;
}

export interface Spooled {
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Of the right bytes, where it is known already. */
  readonly md5: Uint8Array | null;
}

export interface SpoolCounts {
  /**
   * Given out without a fetch of its own: from memory, the disk, or a fetch that was under way for
   * another lane.
   */
  shared: number;
  fetched: number;
  /** Of those fetched: had been here, and gone before this lane came. */
  fetchedAgain: number;
}

export interface SpoolBounds extends ShelfBounds {
  /**
   * Blobs up to here are held in memory as a whole while they are fetched, as the request that
   * writes them to a site needs them.
   */
  readonly putBytes: number;
}

/**
 * What a fetch ends with; `whole` where the blob is small; neither where the disk did not take it;
 * null where it is not there.
 */
type Landed = {
  readonly room: Room | null;
  readonly whole: Buffer | null;
  readonly md5: Uint8Array | null;
} | null;

interface Flight {
  readonly landed: Promise<Landed>;
  readonly stop: AbortController;
  isOver: boolean;
  waiting: number;
}

export class Spool {
  readonly counts: SpoolCounts = { shared: 0, fetched: 0, fetchedAgain: 0 };
  readonly #shelf: Shelf;
  readonly #bounds: SpoolBounds;
  readonly #onBroken: (error: unknown) => void;
  readonly #flights = new Map<string, Flight>();

  /**
   * @param onBroken told when the disk does not take or give bytes; the spool then passes them on
   *   without keeping them
   */
  constructor(folder: string, onBroken: (error: unknown) => void, bounds: SpoolBounds = LIMITS) {
    this.#shelf = new Shelf(folder, onBroken, bounds);
    this.#onBroken = onBroken;
    this.#bounds = bounds;
  }

  /**
   * @returns null: `fetch` says that it is not there
   * @throws BLOB_MISMATCH and whatever `fetch` throws
   */
  async open(blob: Announced, fetch: Fetch, signal: AbortSignal): Promise<Spooled | null> {
    signal.throwIfAborted();
    const kept = this.#shelf.find(blob.sha256);
    if (kept !== undefined) {
      this.counts.shared += 1;
      return {
        bytes: kept.bytes === null ? this.#read(blob, kept.room, fetch, signal) : once(kept.bytes),
        md5: kept.md5,
      };
    }
    const underWay = this.#flights.get(blob.sha256);
    const shared = underWay === undefined ? null : await this.#join(underWay, blob, signal);
    if (shared !== null) return this.#give(blob, shared, fetch, signal);
    const isSmall = blob.size <= this.#bounds.putBytes;
    const room = isSmall ? null : this.#shelf.reserve(blob.size);
    if (!isSmall && room === null) return this.#passBy(fetch, signal);
    const landed = await this.#wait(this.#takeOff(blob, fetch, room), blob, signal);
    return landed && this.#give(blob, landed, fetch, signal);
  }

  #give(
    blob: Announced,
    { whole, room, md5 }: NonNullable<Landed>,
    fetch: Fetch,
    signal: AbortSignal,
  ): Spooled {
    return { bytes: whole === null ? this.#read(blob, room, fetch, signal) : once(whole), md5 };
  }

  /** There is no room for it beside what is in use. */
  async #passBy(fetch: Fetch, signal: AbortSignal): Promise<Spooled | null> {
    this.counts.fetched += 1;
    const bytes = await fetch(signal);
    return bytes && { bytes, md5: null };
  }

  /** Bytes that came from here were wrong: a disk may rot, too. */
  forget(sha256: Sha256): void {
    this.#shelf.forget(sha256);
  }

  close(): void {
    for (const { stop } of this.#flights.values()) stop.abort();
    this.#shelf.close();
  }

  /**
   * Past the spool where the disk did not take the bytes, does not give them, or gave up their room
   * before they were asked for.
   */
  async *#read(
    blob: Announced,
    room: Room | null,
    fetch: Fetch,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    let given = 0;
    if (room !== null && !room.segment.isGone) {
      try {
        for await (const chunk of room.segment.read(
          room.offset,
          blob.size,
          this.#bounds.putBytes,
        )) {
          given += chunk.length;
          yield chunk;
        }
        return;
      } catch (error) {
        this.#onBroken(error);
        this.forget(blob.sha256);
        if (given > 0) throw error; // the next try fetches
      }
    }
    this.counts.fetchedAgain += 1;
    const bytes = await fetch(signal);
    if (bytes === null) throw new DebgeoError('BLOB_MISSING', 'the bytes were there a moment ago');
    yield* bytes;
  }

  /**
   * Waits for the fetch of another lane. Null where it failed or found nothing: it may have asked
   * another place, and what one place says is not what this lane's place would say.
   */
  async #join(flight: Flight, blob: Announced, signal: AbortSignal): Promise<Landed> {
    try {
      const landed = await this.#wait(flight, blob, signal);
      if (landed !== null) this.counts.shared += 1;
      return landed;
    } catch {
      signal.throwIfAborted();
      return null;
    }
  }

  /** A fetch ends when the last lane that waits for it has gone. */
  async #wait(flight: Flight, blob: Announced, signal: AbortSignal): Promise<Landed> {
    const gaveUp = Promise.withResolvers<never>();
    const leave = (): void => gaveUp.reject(signal.reason as Error);
    signal.addEventListener('abort', leave, { once: true });
    flight.waiting += 1;
    try {
      return await Promise.race([flight.landed, gaveUp.promise]);
    } finally {
      signal.removeEventListener('abort', leave);
      flight.waiting -= 1;
      if (flight.waiting === 0) {
        this.#clear(blob, flight);
        if (!flight.isOver) flight.stop.abort();
      }
    }
  }

  /** Lanes that come meanwhile wait for it; for the newest, where there are two. */
  #takeOff(blob: Announced, fetch: Fetch, room: Room | null): Flight {
    this.counts.fetched += 1;
    if (this.#shelf.wasHere(blob.sha256)) this.counts.fetchedAgain += 1;
    const stop = new AbortController();
    const flight = {
      landed: this.#land(blob, fetch, room, stop.signal),
      stop,
      isOver: false,
      waiting: 0,
    };
    this.#flights.set(blob.sha256, flight);
    // From here on the shelf has it, if it was kept.
    const end = (): void => {
      flight.isOver = true;
      this.#clear(blob, flight);
    };
    flight.landed.then(end, end);
    return flight;
  }

  #clear(blob: Announced, flight: Flight): void {
    if (this.#flights.get(blob.sha256) === flight) this.#flights.delete(blob.sha256);
  }

  /** @param room on the disk, reserved for a large blob; null: it is small */
  async #land(
    blob: Announced,
    fetch: Fetch,
    room: Room | null,
    signal: AbortSignal,
  ): Promise<Landed> {
    const sha256 = createHash('sha256');
    const md5 = createHash('md5');
    const whole = room === null ? Buffer.allocUnsafe(blob.size) : null;
    let isKept = room !== null;
    let size = 0;
    try {
      const bytes = await fetch(signal);
      if (bytes === null) return null;
      for await (const chunk of bytes) {
        if (whole === null && !isKept) return { room: null, whole: null, md5: null };
        if (size + chunk.length > blob.size) throw mismatch(blob, 'more bytes');
        sha256.update(chunk);
        md5.update(chunk);
        if (whole !== null) whole.set(chunk, size);
        else if (room !== null) isKept = await this.#shelf.write(room, chunk, size);
        size += chunk.length;
      }
      const found = sha256.digest('hex');
      if (size !== blob.size || found !== blob.sha256)
        throw mismatch(blob, `${size} bytes, SHA-256 ${found}`);

      const digest = md5.digest();
      if (whole !== null) await this.#shelf.hold(blob.sha256, whole, digest);
      else if (room !== null && isKept) this.#shelf.keep(blob.sha256, digest, room);
      return { room: isKept ? room : null, whole, md5: digest };
    } finally {
      room?.segment.leave();
    }
  }
}

async function* once(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}

const mismatch = (blob: Announced, found: string): DebgeoError =>
  new DebgeoError('BLOB_MISMATCH', 'the bytes are not those announced', {
    expected: `${blob.size} bytes, SHA-256 ${blob.sha256}`,
    found,
  });
