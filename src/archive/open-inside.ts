/**
 * Opens a regular file of a folder, and nothing outside of it.
 *
 * Symbolic links are followed as far as they stay in the folder. A path is resolved first, opened
 * by its resolved name without following another link, and what was opened is compared with what
 * stood there before; where an archive replaces files in between, this is done again.
 */
import { constants, type BigIntStats } from 'node:fs';
import { lstat, open, realpath, stat, type FileHandle } from 'node:fs/promises';
import { isAbsolute, join, relative } from 'node:path';

import { DebgeoError } from '../domain/errors.ts';
import type { RepoPath } from '../domain/repo-path.ts';
import { quoted } from '../domain/text.ts';
import { unreachable } from './archive-error.ts';

export interface RootFolder {
  /** Absolute, on this machine. */
  readonly path: string;
  /** It lies in this one, also when links were followed; null: anywhere. */
  readonly below: string | null;
}

export interface Opened {
  readonly handle: FileHandle;
  /** Of the file that the handle holds. */
  readonly stats: BigIntStats;
  /** The path on this machine, before links were followed. */
  readonly place: string;
}

/**
 * The folder does not have it. A name that is too long for the file system cannot be there either.
 */
const ABSENT = ['ENOENT', 'ENOTDIR', 'ENAMETOOLONG'];
const DENIED = ['EACCES', 'EPERM'];
/** A path that was replaced so many times in a row, each time just before it was opened. */
const ATTEMPTS = 5;

/**
 * @returns null: the folder has no such file
 * @throws ARCHIVE_UNREACHABLE, ARCHIVE_DENIED, ARCHIVE_CHANGING, HOSTILE_PATH, REFERENCE_REFUSED
 */
export async function openInside(rootFolder: RootFolder, path: RepoPath): Promise<Opened | null> {
  const place = join(rootFolder.path, path);
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const root = await resolveRoot(rootFolder);
    try {
      const resolved = await realpath(place);
      if (!isInside(root, resolved)) throw leaves(place, resolved);
      const seen = await lstat(resolved, { bigint: true });
      if (seen.isDirectory()) return null;
      if (seen.isSymbolicLink()) continue; // it became one after it was resolved
      if (!seen.isFile()) throw notRegular(place);
      const opened = await openSame(place, resolved, seen);
      if (opened !== null) return opened;
    } catch (error) {
      if (error instanceof DebgeoError) throw error;
      if (!ABSENT.includes(codeOf(error))) throw fileError(place, error);
      // A folder that vanished meanwhile says nothing about what was in it.
      await resolveRoot(rootFolder);
      return null;
    }
  }
  throw new DebgeoError(
    'ARCHIVE_CHANGING',
    `${place} was replaced again and again while it was opened`,
  );
}

/** Not waited for: a file is closed after its last read, which may hang. */
export function letGo(handle: FileHandle): void {
  handle.close().catch(() => {});
}

/** What an error of the file system means. */
export function fileError(place: string, error: unknown): DebgeoError {
  const code = codeOf(error);
  if (!DENIED.includes(code)) return unreachable(place, code || String(error), error);
  return new DebgeoError(
    'ARCHIVE_DENIED',
    `${place} may not be read`,
    { expected: 'readable by the worker', found: code },
    error,
  );
}

/**
 * @throws ARCHIVE_UNREACHABLE, ARCHIVE_DENIED there is no such folder: the archive is not there,
 *   which is not an archive without files
 * @throws REFERENCE_REFUSED it lies elsewhere than it may
 */
async function resolveRoot({ path, below }: RootFolder): Promise<string> {
  try {
    const root = await realpath(path);
    if (below !== null && !isInside(await realpath(below), root)) throw elsewhere(path, below);
    if ((await stat(root)).isDirectory()) return root;
  } catch (error) {
    throw error instanceof DebgeoError ? error : fileError(path, error);
  }
  throw unreachable(path, 'not a folder');
}

/** @returns null: another file stands there now */
async function openSame(
  place: string,
  resolved: string,
  seen: BigIntStats,
): Promise<Opened | null> {
  let handle: FileHandle;
  try {
    // O_NONBLOCK: opening a pipe that was put there meanwhile would wait for its writer.
    handle = await open(resolved, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === 'ELOOP') return null;
    throw error;
  }
  try {
    const stats = await handle.stat({ bigint: true });
    // Resolved once more: a folder on the way may have become a link after the first time.
    if (
      stats.isFile() &&
      stats.dev === seen.dev &&
      stats.ino === seen.ino &&
      (await realpath(resolved)) === resolved
    )
      return { handle, stats, place };
  } catch (error) {
    letGo(handle);
    throw error;
  }
  letGo(handle);
  return null;
}

function isInside(root: string, resolved: string): boolean {
  const way = relative(root, resolved);
  return way !== '..' && !way.startsWith('../') && !isAbsolute(way);
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : '';

const leaves = (place: string, resolved: string): DebgeoError =>
  new DebgeoError('HOSTILE_PATH', `${place} leads out of the archive`, {
    expected: 'a file inside the folder of the archive',
    found: quoted(resolved),
  });

const elsewhere = (path: string, below: string): DebgeoError =>
  new DebgeoError('REFERENCE_REFUSED', `the folder ${path} may not be read as an archive`, {
    expected: `a folder in ${below} (DEBGEO_ARCHIVES_DIR)`,
    found: 'a folder elsewhere',
  });

const notRegular = (place: string): DebgeoError =>
  new DebgeoError('HOSTILE_PATH', `${place} is not a regular file`, {
    expected: 'a regular file',
    found: 'a device, pipe or socket',
  });
