/**
 * An archive in a folder on the worker's disk (`file:///srv/mirror/debian`): every worker that
 * reads it has it at the same path.
 *
 * Symbolic links are followed as far as they stay in the folder. A path is resolved first, opened
 * by its resolved name without following another link, and what was opened is compared with what
 * was looked at; where an archive replaces files in between, this is done again. Nothing but
 * regular files is opened. A disk may hang as a network does (NFS, FUSE): each wait has its own
 * end.
 */
import { constants, type BigIntStats } from 'node:fs';
import { lstat, open, realpath, stat, type FileHandle } from 'node:fs/promises';
import { isAbsolute, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

import { DebgeoError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import type { RepoPath } from '../domain/repo-path.ts';
import type { Validator } from '../domain/snapshot.ts';
import { aborted, throwIfAborted, tooLarge, unreachable } from './archive-error.ts';
import type { Archive } from './archive.ts';
import { fetchReleaseSet } from './release-set.ts';

/** Those of LIMITS that reading a folder keeps. A test sets smaller ones. */
type DirectoryArchiveLimits = Record<'releaseBytes' | 'answerMs' | 'stallMs' | 'fetchMs', number>;

interface Opened {
  readonly handle: FileHandle;
  readonly found: BigIntStats;
  readonly place: string;
}

/**
 * The folder does not have it. A name that is too long for the file system cannot be there either.
 */
const ABSENT = ['ENOENT', 'ENOTDIR', 'ENAMETOOLONG'];
const DENIED = ['EACCES', 'EPERM'];
/**
 * Replaced between looking and opening so many times in a row: somebody is writing it right now.
 */
const ATTEMPTS = 5;
/**
 * Filled within LIMITS.stallMs or at the end of the file: so nothing is read slower than
 * LIMITS.bytesPerSecondMin.
 */
const CHUNK_BYTES = 64 * 1024;

/**
 * @param options.url `file:` URL of the root of the archive, an absolute path on this machine
 * @throws CONFIG_INVALID a URL that is none of that
 */
export function createDirectoryArchive(options: {
  readonly url: string;
  readonly limits?: Partial<DirectoryArchiveLimits>;
}): Archive {
  return new DirectoryArchive(folderOf(options.url), { ...LIMITS, ...options.limits });
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
    // Said below.
  }
  throw new DebgeoError('CONFIG_INVALID', 'this is not the URL of a folder', {
    expected: 'file:/// and an absolute path',
    found: url.slice(0, LIMITS.quotedCharacters),
  });
}

class DirectoryArchive implements Archive {
  readonly #root: string;
  readonly #limits: DirectoryArchiveLimits;

  constructor(root: string, limits: DirectoryArchiveLimits) {
    this.#root = root;
    this.#limits = limits;
  }

  fetchReleaseSet(suiteFolder: string, validator: Validator | null, signal: AbortSignal) {
    const wanted = { root: this.#root, suiteFolder, validator, fetchMs: this.#limits.fetchMs };
    return fetchReleaseSet((path, known, until) => this.#fetch(path, known, until), wanted, signal);
  }

  async #fetch(path: RepoPath, validator: Validator | null, signal: AbortSignal) {
    const opened = await this.#open(path, signal);
    if (opened === null) return null;
    const etag = etagOf(opened.found);
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
    const place = join(this.#root, path);
    const opening = this.#resolveAndOpen(path);
    try {
      return await within(opening, this.#limits.answerMs, place, signal);
    } catch (error) {
      // What comes after its time is closed, whenever that is.
      void opening.then(
        (late) => late && letGo(late.handle),
        () => {},
      );
      throw error;
    }
  }

  async #resolveAndOpen(path: RepoPath): Promise<Opened | null> {
    const place = join(this.#root, path);
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const root = await this.#resolveRoot();
      try {
        const resolved = await realpath(place);
        if (!isInside(root, resolved)) throw leaves(place, resolved);
        const looked = await lstat(resolved, { bigint: true });
        if (looked.isDirectory()) return null;
        if (looked.isSymbolicLink()) continue; // a moment ago it was none
        if (!looked.isFile()) throw notRegular(place);
        const opened = await openSame(place, resolved, looked);
        if (opened !== null) return opened;
      } catch (error) {
        if (error instanceof DebgeoError) throw error;
        if (!ABSENT.includes(codeOf(error))) throw failure(place, error);
        // a folder that vanished meanwhile says nothing about what was in it
        await this.#resolveRoot();
        return null;
      }
    }
    throw new DebgeoError(
      'ARCHIVE_CHANGING',
      `${place} was replaced again and again while it was opened`,
    );
  }

  /**
   * @throws ARCHIVE_UNREACHABLE, ARCHIVE_DENIED there is no such folder: the archive is not there,
   *   which is not an archive without files
   */
  async #resolveRoot(): Promise<string> {
    try {
      const root = await realpath(this.#root);
      if ((await stat(root)).isDirectory()) return root;
    } catch (error) {
      throw failure(this.#root, error);
    }
    throw unreachable(this.#root, 'not a folder');
  }

  #body(opened: Opened, sizeMax: number, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const { handle, found, place } = opened;
    if (found.size > BigInt(sizeMax)) {
      letGo(handle);
      throw tooLarge(place, sizeMax, String(found.size));
    }
    // A file that nobody begins to read must not be held open for ever.
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
 * Never as many bytes as the file had when it was opened: a writer was at it in place, and what
 * came is not whole.
 */
async function* readChunks(
  { handle, found, place }: Opened,
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
    if (BigInt(size) !== found.size)
      throw new DebgeoError('ARCHIVE_CHANGING', `${place} changed while it was read`, {
        expected: `${found.size} bytes`,
        found: `${size} bytes`,
      });
  } catch (error) {
    throw error instanceof DebgeoError || signal.aborted ? error : failure(place, error);
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

/** @returns null: something else lies there now */
async function openSame(
  place: string,
  resolved: string,
  looked: BigIntStats,
): Promise<Opened | null> {
  let handle: FileHandle;
  try {
    // O_NONBLOCK: a pipe that was put there meanwhile would be waited for.
    handle = await open(resolved, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === 'ELOOP') return null;
    throw error;
  }
  try {
    const found = await handle.stat({ bigint: true });
    // Once more: a folder on the way may have become a link after it was resolved.
    if (
      found.isFile() &&
      found.dev === looked.dev &&
      found.ino === looked.ino &&
      (await realpath(resolved)) === resolved
    )
      return { handle, found, place };
  } catch (error) {
    letGo(handle);
    throw error;
  }
  letGo(handle);
  return null;
}

/** Not waited for: a file is closed after its last read, which may hang. */
function letGo(handle: FileHandle): void {
  handle.close().catch(() => {});
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

function isInside(root: string, resolved: string): boolean {
  const way = relative(root, resolved);
  return way !== '..' && !way.startsWith('../') && !isAbsolute(way);
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : '';

function failure(place: string, error: unknown): DebgeoError {
  const code = codeOf(error);
  if (!DENIED.includes(code)) return unreachable(place, code || String(error), error);
  return new DebgeoError(
    'ARCHIVE_DENIED',
    `${place} may not be read`,
    { expected: 'readable by the worker', found: code },
    error,
  );
}

const leaves = (place: string, resolved: string): DebgeoError =>
  new DebgeoError('HOSTILE_PATH', `${place} leads out of the archive`, {
    expected: 'a file inside the folder of the archive',
    found: resolved.slice(0, LIMITS.quotedCharacters),
  });

const notRegular = (place: string): DebgeoError =>
  new DebgeoError('HOSTILE_PATH', `${place} is not a regular file`, {
    expected: 'a regular file',
    found: 'a device, pipe or socket',
  });
