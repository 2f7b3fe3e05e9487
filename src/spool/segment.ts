/**
 * One file of the spool, written at offsets that were reserved before. It has no name on disk: it
 * was unlinked when it was opened, so a worker that is killed leaves nothing behind, whatever it
 * held.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, open, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

/** Bytes given on at a time from a blob that is not held in memory as a whole. */
const PIECE_BYTES = 1024 * 1024;

export class Segment {
  readonly #file: Promise<FileHandle>;
  readonly #bytesMax: number;
  #end = 0;
  #users = 0;
  #isRetired = false;
  #isGone = false;
  /** What may be found here. */
  readonly digests: string[] = [];

  constructor(folder: string, bytesMax: number) {
    this.#bytesMax = bytesMax;
    this.#file = openNameless(folder);
    this.#file.catch(() => undefined);
  }

  /** What was written to it cannot be had any more. */
  get isGone(): boolean {
    return this.#isGone;
  }

  /** Read from, written to, or to be written to. */
  get isUsed(): boolean {
    return this.#users > 0;
  }

  /** What it takes of the disk, or will when all is written that is reserved. */
  get bytes(): number {
    return this.#isGone ? 0 : this.#end;
  }

  /** Room for so many bytes: its offset, or null. */
  reserve(bytes: number): number | null {
    if (this.#isRetired || (this.#end > 0 && this.#end + bytes > this.#bytesMax)) return null;
    const offset = this.#end;
    this.#end += bytes;
    return offset;
  }

  /** @throws what the disk says */
  async write(bytes: Uint8Array, offset: number): Promise<void> {
    const file = await this.#file;
    for (let written = 0; written < bytes.length;) {
      written += (await file.write(bytes, written, bytes.length - written, offset + written))
        .bytesWritten;
    }
  }

  async *read(offset: number, size: number, wholeBytesMax: number): AsyncGenerator<Uint8Array> {
    const piece = size <= wholeBytesMax ? size : PIECE_BYTES;
    this.use();
    try {
      const file = await this.#file;
      for (let at = 0; at < size;) {
        const bytes = Buffer.allocUnsafe(Math.min(piece, size - at));
        const { bytesRead } = await file.read(bytes, 0, bytes.length, offset + at);
        if (bytesRead === 0) throw new Error('the spool is shorter than what was written to it');
        yield bytes.subarray(0, bytesRead);
        at += bytesRead;
      }
    } finally {
      this.leave();
    }
  }

  /** Between `use` and `leave` the file stays open, also when it is retired meanwhile. */
  use(): void {
    this.#users += 1;
  }

  leave(): void {
    this.#users -= 1;
    this.#closeIfUnused();
  }

  /** Takes no more; its space is free when the last user left. */
  retire(): void {
    this.#isRetired = true;
    this.#closeIfUnused();
  }

  #closeIfUnused(): void {
    if (!this.#isRetired || this.#users > 0 || this.#isGone) return;
    this.#isGone = true;
    void this.#file.then((file) => file.close()).catch(() => undefined);
  }
}

async function openNameless(folder: string): Promise<FileHandle> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, `.spool-${randomUUID()}`);
  const file = await open(path, 'wx+', 0o600);
  await unlink(path);
  return file;
}
