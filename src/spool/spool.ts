/**
 * Bytes of blobs on the worker's disk, so that one read of an archive serves many sites.
 *
 * Content-addressed and single-flight: lanes that want the same digest at the same time share one fetch. A fetch goes at its own pace: lanes wait for
 * it, never for each other, and it goes on while any of them still wants it. What is not of the announced size and SHA-256 is never given out.
 * Bounded in bytes, the oldest go first; a lane that is so far behind fetches again, which is counted.
 * It holds nothing that anybody relies on: without it, or with a broken disk, the same bytes come from where they came from before.
 */
import { createHash } from 'node:crypto';
import { DebgeoError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import type { Sha256 } from '../domain/sha256.ts';
import { Segment } from './segment.ts';

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
  /** Given out without asking anybody: from the disk, or from a fetch that was under way for another lane. */
  shared: number;
  fetched: number;
  /** Of those fetched: had been here, and gone before this lane came. */
  fetchedAgain: number;
}

export interface SpoolBounds {
  readonly spoolBytes: number;
  readonly segmentBytes: number;
  /** Blobs up to here are held in memory as a whole while they are fetched, as the request that writes them to a site needs them. */
  readonly putBytes: number;
}

interface Kept {
  readonly segment: Segment;
  readonly offset: number;
  readonly md5: Uint8Array;
}

/** What a fetch ends with; `whole` where the blob is small; neither where the disk did not take it; null where it is not there. */
type Landed = { readonly kept: Kept | null; readonly whole: Buffer | null; readonly md5: Uint8Array | null } | null;

interface Flight {
  readonly landed: Promise<Landed>;
  readonly stop: AbortController;
  waiting: number;
}

/** Digests that are remembered to have been here, for the count of those fetched again only. */
const FORGOTTEN_MAX = 100_000;

export class Spool {
  readonly counts: SpoolCounts = { shared: 0, fetched: 0, fetchedAgain: 0 };
  readonly #folder: string;
  readonly #bounds: SpoolBounds;
  readonly #onBroken: (error: unknown) => void;
  readonly #kept = new Map<string, Kept>();
  readonly #flights = new Map<string, Flight>();
  readonly #forgotten = new Set<string>();
  #segments: Segment[] = [];

  /** @param onBroken told when the disk does not take or give bytes; the spool then passes them on without keeping them */
  constructor(folder: string, onBroken: (error: unknown) => void, bounds: SpoolBounds = LIMITS) {
    this.#folder = folder;
    this.#onBroken = onBroken;
    this.#bounds = bounds;
  }

  /**
   * @returns null: `fetch` says that it is not there
   * @throws BLOB_MISMATCH and whatever `fetch` throws
   */
  async open(blob: Announced, fetch: Fetch, signal: AbortSignal): Promise<Spooled | null> {
    signal.throwIfAborted();
    const kept = this.#kept.get(blob.sha256);
    if (kept !== undefined) {
      this.counts.shared += 1;
      return { bytes: this.#read(blob, kept, fetch, signal), md5: kept.md5 };
    }
    const underWay = this.#flights.get(blob.sha256);
    const shared = underWay === undefined ? null : await this.#join(underWay, blob, signal);
    const landed = shared ?? (await this.#wait(this.#takeOff(blob, fetch), blob, signal));
    if (landed === null) return null;
    const { whole, md5 } = landed;
    return { bytes: whole === null ? this.#read(blob, landed.kept, fetch, signal) : once(whole), md5 };
  }

  /** Somebody found that what came from here is wrong: a disk may rot, too. */
  forget(sha256: Sha256): void {
    this.#kept.delete(sha256);
  }

  close(): void {
    for (const { stop } of this.#flights.values()) stop.abort();
    for (const segment of this.#segments) segment.retire();
    this.#segments = [];
    this.#kept.clear();
  }

  /** Past the spool where the disk did not take the bytes, does not give them, or gave up their room before they were asked for. */
  async *#read(blob: Announced, kept: Kept | null, fetch: Fetch, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    let given = 0;
    if (kept !== null && !kept.segment.isGone) {
      try {
        for await (const chunk of kept.segment.read(kept.offset, blob.size, this.#bounds.putBytes)) {
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
   * Waits for the fetch of another lane. Null where it failed or found nothing: it may have asked another place, and what one place says is not what
   * this lane's place would say.
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

  /** The last one who no longer wants a fetch ends it. */
  async #wait(flight: Flight, blob: Announced, signal: AbortSignal): Promise<Landed> {
    const left = Promise.withResolvers<never>();
    const leave = (): void => left.reject(signal.reason as Error);
    signal.addEventListener('abort', leave, { once: true });
    flight.waiting += 1;
    try {
      return await Promise.race([flight.landed, left.promise]);
    } finally {
      signal.removeEventListener('abort', leave);
      flight.waiting -= 1;
      if (flight.waiting === 0) {
        this.#clear(blob, flight);
        flight.stop.abort();
      }
    }
  }

  /** Others who come meanwhile wait for it; the newest, where there are two. */
  #takeOff(blob: Announced, fetch: Fetch): Flight {
    this.counts.fetched += 1;
    if (this.#forgotten.delete(blob.sha256)) this.counts.fetchedAgain += 1;
    const stop = new AbortController();
    const flight = { landed: this.#land(blob, fetch, stop.signal), stop, waiting: 0 };
    this.#flights.set(blob.sha256, flight);
    // From here on it is found among what is kept, if it was.
    const end = (): void => this.#clear(blob, flight);
    flight.landed.then(end, end);
    return flight;
  }

  #clear(blob: Announced, flight: Flight): void {
    if (this.#flights.get(blob.sha256) === flight) this.#flights.delete(blob.sha256);
  }

  async #land(blob: Announced, fetch: Fetch, signal: AbortSignal): Promise<Landed> {
    const bytes = await fetch(signal);
    if (bytes === null) return null;
    const sha256 = createHash('sha256');
    const md5 = createHash('md5');
    const room = this.#reserve(blob.size);
    const whole = blob.size <= this.#bounds.putBytes ? Buffer.allocUnsafe(blob.size) : null;
    let isKept = room !== null;
    let size = 0;
    room?.segment.use();
    try {
      for await (const chunk of bytes) {
        if (whole === null && !isKept) return { kept: null, whole: null, md5: null };
        if (size + chunk.length > blob.size) throw mismatch(blob, 'more bytes');
        sha256.update(chunk);
        md5.update(chunk);
        if (whole !== null) whole.set(chunk, size);
        else if (room !== null && isKept) isKept = await this.#write(room, chunk, size);
        size += chunk.length;
      }
      const found = sha256.digest('hex');
      if (size !== blob.size || found !== blob.sha256) throw mismatch(blob, `${size} bytes, SHA-256 ${found}`);
      if (room !== null && whole !== null) isKept = await this.#write(room, whole, 0);

      const digest = md5.digest();
      const kept = room !== null && isKept ? { ...room, md5: digest } : null;
      if (kept !== null) this.#keep(blob.sha256, kept);
      return { kept, whole, md5: digest };
    } finally {
      room?.segment.leave();
    }
  }

  async #write(room: { readonly segment: Segment; readonly offset: number }, bytes: Uint8Array, at: number): Promise<boolean> {
    try {
      await room.segment.write(bytes, room.offset + at);
      return true;
    } catch (error) {
      this.#onBroken(error);
      this.#segments = this.#segments.filter((segment) => segment !== room.segment);
      this.#giveUp(room.segment);
      return false;
    }
  }

  #keep(sha256: Sha256, kept: Kept): void {
    if (!this.#segments.includes(kept.segment)) return; // it went to make room while it was written
    kept.segment.digests.push(sha256);
    this.#kept.set(sha256, kept);
  }

  /** Null: it would not fit even alone. */
  #reserve(bytes: number): { readonly segment: Segment; readonly offset: number } | null {
    if (bytes > this.#bounds.spoolBytes) return null;
    let segment = this.#segments.at(-1);
    let offset = segment?.reserve(bytes) ?? null;
    if (segment === undefined || offset === null) {
      segment = new Segment(this.#folder, this.#bounds.segmentBytes);
      this.#segments.push(segment);
      offset = segment.reserve(bytes)!;
    }
    this.#makeRoom();
    return { segment, offset };
  }

  #makeRoom(): void {
    let bytes = this.#segments.reduce((sum, segment) => sum + segment.bytes, 0);
    while (bytes > this.#bounds.spoolBytes && this.#segments.length > 1) {
      const oldest = this.#segments.shift()!;
      bytes -= oldest.bytes;
      this.#giveUp(oldest);
    }
  }

  #giveUp(segment: Segment): void {
    for (const digest of segment.digests) {
      if (this.#kept.get(digest)?.segment !== segment) continue;
      this.#kept.delete(digest);
      if (this.#forgotten.size < FORGOTTEN_MAX) this.#forgotten.add(digest);
    }
    segment.retire();
  }
}

async function* once(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}

const mismatch = (blob: Announced, found: string): DebgeoError =>
  new DebgeoError('BLOB_MISMATCH', 'the bytes are not those announced', { expected: `${blob.size} bytes, SHA-256 ${blob.sha256}`, found });
