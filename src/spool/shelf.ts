/**
 * What the spool keeps, where and how long. Blobs that are in memory as a whole go to the disk many
 * at a time, and stay in memory until as many bytes came behind them: lanes that run close together
 * read none of them from the disk. The bytes on the disk are bounded with those that are reserved,
 * and go segment by segment, the oldest first that is not used.
 */
import type { Sha256 } from '../domain/sha256.ts';
import { Segment } from './segment.ts';

export interface ShelfBounds {
  readonly spoolBytes: number;
  readonly segmentBytes: number;
  /**
   * So many bytes are written at once, and so many that were written stay in memory; more by less
   * than one blob.
   */
  readonly heldBytes: number;
}

export interface Room {
  readonly segment: Segment;
  readonly offset: number;
}

/** Null both: it was only in memory, and is gone. */
export interface Kept {
  readonly md5: Uint8Array;
  bytes: Buffer | null;
  room: Room | null;
}

/** Blobs that go to the disk together. */
interface Batch {
  readonly blobs: (readonly [Sha256, Kept])[];
  bytes: number;
}

/** Digests that are remembered to have been here, for the count of those fetched again only. */
const FORGOTTEN_MAX = 100_000;

export class Shelf {
  readonly #folder: string;
  readonly #bounds: ShelfBounds;
  readonly #onBroken: (error: unknown) => void;
  readonly #kept = new Map<string, Kept>();
  readonly #forgotten = new Set<string>();
  #segments: Segment[] = [];
  /** Those given up while they were used: their bytes are on the disk until the last user left. */
  #leaving: Segment[] = [];
  /** Not on the disk yet, but for those that are being written. */
  #tail: Batch = { blobs: [], bytes: 0 };
  #writing: Promise<void> = Promise.resolve();
  #unwritten = 0;
  /** On the disk and in memory. */
  #recent: Batch[] = [];
  #isClosed = false;

  constructor(folder: string, onBroken: (error: unknown) => void, bounds: ShelfBounds) {
    this.#folder = folder;
    this.#onBroken = onBroken;
    this.#bounds = bounds;
  }

  find(sha256: Sha256): Kept | undefined {
    return this.#kept.get(sha256);
  }

  forget(sha256: Sha256): void {
    this.#kept.delete(sha256);
  }

  /** Whether it had been here and went to make room; told once. */
  wasHere(sha256: Sha256): boolean {
    return this.#forgotten.delete(sha256);
  }

  close(): void {
    this.#isClosed = true;
    for (const segment of this.#segments) segment.retire();
    this.#segments = [];
    this.#recent = [];
    this.#tail = { blobs: [], bytes: 0 };
    this.#kept.clear();
  }

  /**
   * Keeps a blob that is in memory as a whole. No lane runs ahead of the disk: the one that fills a
   * batch waits until it is written, and all wait while another batch waits behind it.
   */
  async hold(sha256: Sha256, bytes: Buffer, md5: Uint8Array): Promise<void> {
    if (this.#isClosed) return;
    const kept = { md5, bytes, room: null };
    this.#kept.set(sha256, kept);
    this.#tail.blobs.push([sha256, kept]);
    this.#tail.bytes += bytes.length;
    if (this.#tail.bytes >= this.#bounds.heldBytes) {
      const batch = this.#tail;
      this.#tail = { blobs: [], bytes: 0 };
      this.#unwritten += 1;
      this.#writing = this.#writing.then(() => this.#writeOut(batch));
    } else if (this.#unwritten < 2) return;
    await this.#writing;
  }

  async #writeOut(batch: Batch): Promise<void> {
    const room = this.#isClosed ? null : this.reserve(batch.bytes);
    try {
      const isWritten =
        room !== null &&
        (await this.write(room, Buffer.concat(batch.blobs.map(([, { bytes }]) => bytes!)), 0));
      let at = 0;
      for (const [sha256, kept] of batch.blobs) {
        if (room !== null && isWritten && this.#kept.get(sha256) === kept)
          this.#place(sha256, kept, { segment: room.segment, offset: room.offset + at });
        at += kept.bytes!.length;
      }
    } finally {
      room?.segment.leave();
      this.#unwritten -= 1;
    }
    this.#recent.push(batch);
    let held = this.#recent.reduce((sum, { bytes }) => sum + bytes, 0);
    for (; held > this.#bounds.heldBytes; held -= this.#recent.shift()!.bytes)
      this.#release(this.#recent[0]!);
  }

  /** From now on it is read from the disk, or was never there. */
  #release({ blobs }: Batch): void {
    for (const [sha256, kept] of blobs) {
      kept.bytes = null;
      if (kept.room === null && this.#kept.get(sha256) === kept) this.#kept.delete(sha256);
    }
  }

  /** @returns false: the disk does not take it, and that room is given up */
  async write(room: Room, bytes: Uint8Array, at: number): Promise<boolean> {
    try {
      await room.segment.write(bytes, room.offset + at);
      return true;
    } catch (error) {
      this.#onBroken(error);
      this.#giveUp(room.segment);
      return false;
    }
  }

  /** Keeps a blob that was written to this room. */
  keep(sha256: Sha256, md5: Uint8Array, room: Room): void {
    this.#place(sha256, { md5, bytes: null, room: null }, room);
  }

  #place(sha256: string, kept: Kept, room: Room): void {
    if (!this.#segments.includes(room.segment)) return; // it went to make room while it was written
    kept.room = room;
    room.segment.digests.push(sha256);
    this.#kept.set(sha256, kept);
  }

  /**
   * Room for so many bytes on the disk, to be left by `segment.leave()` when they are written.
   * Null: there is none beside what is in use.
   */
  reserve(bytes: number): Room | null {
    if (!this.#makeRoom(bytes)) return null;
    let segment = this.#segments.at(-1);
    let offset = segment?.reserve(bytes) ?? null;
    if (segment === undefined || offset === null) {
      segment = new Segment(this.#folder, this.#bounds.segmentBytes);
      this.#segments.push(segment);
      offset = segment.reserve(bytes)!;
    }
    segment.use();
    return { segment, offset };
  }

  #makeRoom(bytes: number): boolean {
    const sizeOf = (segments: readonly Segment[]) =>
      segments.reduce((sum, segment) => sum + segment.bytes, 0);
    this.#leaving = this.#leaving.filter((segment) => segment.bytes > 0);
    const taken = sizeOf(this.#segments) + sizeOf(this.#leaving);
    let over = taken + bytes - this.#bounds.spoolBytes;
    const unused = this.#segments.filter((segment) => !segment.isUsed);
    if (over > sizeOf(unused)) return false; // nothing is given up in vain
    for (const oldest of unused) {
      if (over <= 0) break;
      over -= oldest.bytes;
      this.#giveUp(oldest);
    }
    return true;
  }

  #giveUp(segment: Segment): void {
    this.#segments = this.#segments.filter((one) => one !== segment);
    for (const digest of segment.digests) {
      if (this.#kept.get(digest)?.room?.segment !== segment) continue;
      this.#kept.delete(digest);
      if (this.#forgotten.size < FORGOTTEN_MAX) this.#forgotten.add(digest);
    }
    segment.retire();
    this.#leaving.push(segment);
  }
}
