/**
 * An archive in a folder on the worker's disk (`file:///srv/mirror/debian`): every worker that
 * reads it has it at the same path. A disk may hang as a network does (NFS, FUSE): each wait has
 * its own end.
 */
import type { BigIntStats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { DebgeoError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import type { RepoPath } from '../domain/repo-path.ts';
import type { Validator } from '../domain/snapshot.ts';
import { quoted } from '../domain/text.ts';
import { aborted, throwIfAborted, tooLarge, unreachable } from './archive-error.ts';
import type { Archive } from './archive.ts';
import { fileError, letGo, openInside, type Opened, type RootFolder } from './open-inside.ts';
import { fetchReleaseSet } from './release-set.ts';

/** Those of LIMITS that reading a folder keeps. A test sets smaller ones. */
type DirectoryArchiveLimits = Record<'releaseBytes' | 'answerMs' | 'stallMs' | 'fetchMs', number>;

/**
 * Filled within LIMITS.stallMs or at the end of the file: so nothing is read slower than
 * LIMITS.bytesPerSecondMin.
 */
const CHUNK_BYTES = 64 * 1024;

/**
 * @param options.url `file:` URL of the root of the archive, an absolute path on this machine
 * @param options.below the folder that archives lie in (DEBGEO_ARCHIVES_DIR); null: anywhere
 * @throws CONFIG_INVALID a URL that is none of that
 */
export function createDirectoryArchive(options: {
  readonly url: string;
  readonly below?: string | null;
  readonly limits?: Partial<DirectoryArchiveLimits>;
}): Archive {
  const { url, below = null, limits } = options;
  return new DirectoryArchive({ path: folderOf(url), below }, { ...LIMITS, ...limits });
}

/**
 * @param url `file:///srv/mirror/debian`; `%20` and the like are decoded
 * @throws CONFIG_INVALID no absolute path of this machine, or a query or fragment behind it
 */
export function folderOf(url: string): string {
  try {
    const parsed = new URL(url);
    if (/^file:\/\/\//i.test(url) && parsed.search + parsed.hash === '')
      return fileURLToPath(parsed);
  } catch {
    // The error below says so.
  }
  throw new DebgeoError('CONFIG_INVALID', 'this is not the URL of a folder', {
    expected: 'file:/// and an absolute path',
    found: quoted(url),
  });
}

class DirectoryArchive implements Archive {
  readonly #root: RootFolder;
  readonly #limits: DirectoryArchiveLimits;

  constructor(root: RootFolder, limits: DirectoryArchiveLimits) {
    this.#root = root;
    this.#limits = limits;
  }

  fetchReleaseSet(suiteFolder: string, validator: Validator | null, signal: AbortSignal) {
    const wanted = { root: this.#root.path, suiteFolder, validator, fetchMs: this.#limits.fetchMs };
    return fetchReleaseSet((path, known, until) => this.#fetch(path, known, until), wanted, signal);
  }

  async #fetch(path: RepoPath, validator: Validator | null, signal: AbortSignal) {
    const opened = await this.#open(path, signal);
    if (opened === null) return null;
    const etag = etagOf(opened.stats);
    if (validator?.etag === etag) {
      letGo(opened.handle);
      return 'unchanged';
    }
    const bytes = Buffer.concat(
      await Array.fromAsync(this.#body(opened, this.#limits.releaseBytes, signal)),
    );
    return { bytes, validator: { etag, lastModified: null } };
  }

  async open(
    path: RepoPath,
    sizeMax: number,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array> | null> {
    const opened = await this.#open(path, signal);
    return opened === null ? null : this.#body(opened, sizeMax, signal);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #open(path: RepoPath, signal: AbortSignal): Promise<Opened | null> {
    throwIfAborted(signal);
    const place = join(this.#root.path, path);
    const opening = openInside(this.#root, path);
    try {
      return await within(opening, this.#limits.answerMs, place, signal);
    } catch (error) {
      // A file that opens after its time is closed, whenever that is.
      void opening.then(
        (late) => late && letGo(late.handle),
        () => {},
      );
      throw error;
    }
  }

  #body(opened: Opened, sizeMax: number, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const { handle, stats, place } = opened;
    if (stats.size > BigInt(sizeMax)) {
      letGo(handle);
      throw tooLarge(place, sizeMax, String(stats.size));
    }
    // A file that the caller never begins to read is not held open for ever.
    let givenUp = false;
    const unread = setTimeout(() => {
      givenUp = true;
      letGo(handle);
    }, this.#limits.stallMs);
    unread.unref();
    const begin = (): void => {
      if (givenUp) throw unreachable(place, `not read for ${this.#limits.stallMs} ms`);
      clearTimeout(unread);
    };
    return readChunks(opened, begin, sizeMax, this.#limits.stallMs, signal);
  }
}

/**
 * @throws ARCHIVE_CHANGING another number of bytes than the file had when it was opened: the
 *   archive writes it in place, and what was read is not whole
 */
async function* readChunks(
  { handle, stats, place }: Opened,
  begin: () => void,
  sizeMax: number,
  stallMs: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  begin();
  let size = 0;
  try {
    for (;;) {
      const chunk = await within(readChunk(handle), stallMs, place, signal);
      size += chunk.length;
      if (size > sizeMax) throw tooLarge(place, sizeMax, 'more');
      if (chunk.length > 0) yield chunk;
      throwIfAborted(signal);
      if (chunk.length < CHUNK_BYTES) break;
    }
    if (BigInt(size) !== stats.size)
      throw new DebgeoError('ARCHIVE_CHANGING', `${place} changed while it was read`, {
        expected: `${stats.size} bytes`,
        found: `${size} bytes`,
      });
  } catch (error) {
    throw error instanceof DebgeoError || signal.aborted ? error : fileError(place, error);
  } finally {
    letGo(handle);
  }
}

/** Full, unless the file ends. */
async function readChunk(handle: FileHandle): Promise<Uint8Array> {
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  let length = 0;
  while (length < CHUNK_BYTES) {
    const { bytesRead } = await handle.read(buffer, length, CHUNK_BYTES - length, null);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return buffer.subarray(0, length);
}

/** Ends at the abort of the signal, or after so many milliseconds; what was begun may hang on. */
async function within<T>(
  work: Promise<T>,
  ms: number,
  place: string,
  signal: AbortSignal,
): Promise<T> {
  work.catch(() => {});
  throwIfAborted(signal);
  const { promise: ended, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(unreachable(place, `no answer within ${ms} ms`)), ms);
  const abort = (): void => reject(aborted(signal));
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, ended]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  }
}

/**
 * Changes with every file that takes the name, and with every write that the file system notices.
 */
const etagOf = ({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string =>
  `"${[dev, ino, size, mtimeNs, ctimeNs].join('-')}"`;
