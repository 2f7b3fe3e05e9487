/**
 * The bytes of captured indices, by SHA-256: what slow lanes publish from, long after the archive
 * has moved on.
 */
import { mkdtemp, open, rm, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { sql } from 'kysely';

import { DebgeoError } from '../../domain/errors.ts';
import type { Hashes } from '../../domain/hashes.ts';
import { LIMITS } from '../../domain/limits.ts';
import { differenceOf, Measure } from '../../domain/measure.ts';
import type { Sha256 } from '../../domain/sha256.ts';
import { type Database, type Tx } from '../orm.ts';
import { all, one, run } from '../sql.ts';

/** What Release says of an index: its size and every hash that it lists. */
export interface ExpectedContent {
  /** bytes */
  readonly size: number;
  /** Null where Release lists SHA512 only: then `hashes` has it. */
  readonly sha256: Sha256 | null;
  readonly hashes?: Hashes;
}

/**
 * Files open at a time: all Packages and Sources of sid in two compressions are fewer. Contents
 * beyond it are read from the database.
 */
const KEPT_MAX = 128;

/**
 * Bytes of indices that were stored a moment ago, in files without a name: nothing is left of them
 * when their process is killed.
 */
export class KeptContents implements AsyncDisposable {
  readonly #files = new Map<Sha256, FileHandle>();

  /** @param path  of a file that is unlinked next */
  async keep(sha256: Sha256, path: string): Promise<void> {
    if (this.#files.size >= KEPT_MAX) return;
    const file = await open(path);
    // Several indices may have the same bytes, and come at once.
    if (this.#files.has(sha256)) await file.close();
    else this.#files.set(sha256, file);
  }

  open(sha256: Sha256): AsyncIterable<Uint8Array> | null {
    return this.#files.get(sha256)?.createReadStream({ start: 0, autoClose: false }) ?? null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const file of this.#files.values()) await file.close();
  }
}

/**
 * The digests whose bytes the catalog does not have. The others are no longer unused where prune
 * has marked them so: the capture that asks is about to save a snapshot that names them.
 */
export async function missingContents(tx: Tx, digests: readonly Sha256[]): Promise<Set<Sha256>> {
  const wanted = sql`
    select decode(h, 'hex')
    from unnest(${[...digests]}::text[]) h`;
  await run(
    tx,
    sql`
      update index_contents
      set unused_since = null
      where chunk = 0
        and unused_since is not null
        and sha256 in (${wanted})`,
  );
  const rows = await all(
    tx,
    sql<{ sha256: Sha256 }>`
      select distinct h as sha256
      from unnest(${[...digests]}::text[]) h
      where not exists (
        select
        from index_contents c
        where c.sha256 = decode(h, 'hex')
          and c.chunk = 0
      )`,
  );
  return new Set(rows.map((row) => row.sha256));
}

/**
 * Stores the bytes of an index if they are right. They wait in a temporary file until the last one
 * was hashed: so a slow archive holds no transaction open, and a wrong file leaves nothing behind.
 * @param kept keeps that file open, for openIndexContent
 * @returns the SHA-256 of the bytes
 * @throws INDEX_MISMATCH another size, or another digest than one of those expected
 */
export async function storeIndexContent(
  db: Database,
  expected: ExpectedContent,
  bytes: AsyncIterable<Uint8Array>,
  kept: KeptContents | null = null,
): Promise<Sha256> {
  const folder = await mkdtemp(join(tmpdir(), 'debgeo-index-'));
  try {
    const file = join(folder, 'content');
    const sha256 = await receive(file, expected, bytes);
    await db.transaction((tx) => insertChunks(tx, sha256, file));
    await kept?.keep(sha256, file);
    return sha256;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function receive(
  path: string,
  expected: ExpectedContent,
  bytes: AsyncIterable<Uint8Array>,
): Promise<Sha256> {
  const wanted: Hashes = {
    ...expected.hashes,
    ...(expected.sha256 === null ? {} : { SHA256: expected.sha256 }),
  };
  const measure = new Measure(wanted);
  await using file = await open(path, 'wx', 0o600);
  for await (const chunk of bytes) {
    measure.add(chunk);
    if (measure.size > expected.size) throw mismatch(`${expected.size} bytes`, 'more');
    await file.writeFile(chunk);
  }
  const measured = measure.end();
  const difference = differenceOf({ size: expected.size, hashes: wanted }, measured);
  if (difference !== null) throw mismatch(difference.expected, difference.found);
  return measured.hashes.SHA256;
}

/** Every content has a chunk 0, the empty one too: where it is, the content is here. */
async function insertChunks(tx: Tx, sha256: Sha256, path: string): Promise<void> {
  await using file = await open(path);
  const { size } = await file.stat();
  const buffer = Buffer.allocUnsafeSlow(Math.max(1, Math.min(size, LIMITS.chunkBytes)));
  for (let chunk = 0, rest = size; chunk === 0 || rest > 0; chunk += 1) {
    const { bytesRead } = await file.read(buffer);
    if (bytesRead === 0 && rest > 0) throw new Error(`${path} became shorter`);
    await run(
      tx,
      sql`
        insert into index_contents as c (sha256, chunk, bytes)
        values (${Buffer.from(sha256, 'hex')}, ${chunk}, ${buffer.subarray(0, bytesRead)})
        on conflict (sha256, chunk) do update
        set unused_since = null
        where c.unused_since is not null`,
    );
    rest -= bytesRead;
  }
}

/**
 * Opens the bytes of an index for streaming; null if the catalog does not have them.
 * @param kept files that storeIndexContent has kept: bytes from the database take several times
 *   their size in memory
 */
export async function openIndexContent(
  db: Database,
  sha256: Sha256,
  kept: KeptContents | null = null,
): Promise<AsyncIterable<Uint8Array> | null> {
  const file = kept?.open(sha256);
  if (file) return file;
  const head = await readChunk(db, sha256, 0);
  return head && chunksFrom(db, sha256, head);
}

async function* chunksFrom(
  db: Database,
  sha256: Sha256,
  head: Chunk,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield head.bytes;
  for (let chunk = 1, { isLast } = head; !isLast; chunk += 1) {
    const read = await readChunk(db, sha256, chunk);
    if (read === null) throw new Error(`chunk ${chunk} of ${sha256} went while it was read`);
    yield read.bytes;
    ({ isLast } = read);
  }
}

interface Chunk {
  readonly bytes: Buffer;
  readonly isLast: boolean;
}

/**
 * As Base64: the hexadecimal digits of a bytea are half as long again, and several copies of them
 * stay in memory until they are collected.
 */
async function readChunk(db: Database, sha256: Sha256, chunk: number): Promise<Chunk | null> {
  const row = await one(
    db.read,
    sql<{ base64: string; isLast: boolean }>`
      select encode(c.bytes, 'base64') as base64,
        not exists (
          select
          from index_contents o
          where o.sha256 = c.sha256
            and o.chunk = c.chunk + 1
        ) as "isLast"
      from index_contents c
      where c.sha256 = ${Buffer.from(sha256, 'hex')}
        and c.chunk = ${chunk}`,
  );
  return row && { bytes: Buffer.from(row.base64, 'base64'), isLast: row.isLast };
}

const mismatch = (expected: string, found: string): DebgeoError =>
  new DebgeoError('INDEX_MISMATCH', 'an index differs from what Release says', { expected, found });
