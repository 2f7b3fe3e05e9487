import { tmpdir } from 'node:os';

import { verifyReleaseSet } from '../../src/archive/verify-signature.ts';
import {
  missingContents,
  openIndexContent,
  storeIndexContent,
  type KeptContents,
} from '../../src/database/catalog/index-contents.ts';
import { isSameReleaseSet } from '../../src/database/catalog/snapshots.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import { byHashPaths, HASHES } from '../../src/domain/hashes.ts';
import { isPackages, isSources } from '../../src/domain/index-file.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { differenceOf, Measure } from '../../src/domain/measure.ts';
import { parseRelease, type ReleaseEntry } from '../../src/domain/release.ts';
import { joinPath, type RepoPath } from '../../src/domain/repo-path.ts';
import type { Sha256 } from '../../src/domain/sha256.ts';
import type { Validator } from '../../src/domain/snapshot.ts';
import type { ReleaseSet, SnapshotIndex } from '../../src/domain/snapshot.ts';
import { inParallel } from '../in-parallel.ts';
import { expectedAndFound, type AcceptedRelease, type Capture } from './capture.ts';

/** The archive released while it was read: what was fetched so far may be of two releases. */
export class ReleasedMeanwhile extends Error {}

/**
 * Fetches the indices that the catalog lacks. Release may list files that the archive does not
 * have: one that is neither by-hash nor at its canonical name is absent.
 * @param before digests of the indices of the newest generation; null: absent
 * @param kept keeps the bytes that are fetched and will be read
 */
export async function fetchIndices(
  capture: Capture,
  accepted: AcceptedRelease,
  before: ReadonlyMap<RepoPath, Sha256 | null>,
  kept: KeptContents,
): Promise<{ indices: SnapshotIndex[]; absent: RepoPath[] }> {
  const { deps, counts, signal } = capture;
  refuseTooMuch(accepted, (deps.indexLimits ?? LIMITS).snapshotIndexBytes);
  const listed = accepted.entries.flatMap(({ entry }) => entry.hashes.SHA256 ?? []) as Sha256[];
  const missing = await missingContents(deps.database.read, listed);
  const found = new Map<RepoPath, Sha256 | null>();
  const listedBefore = await entriesOf(capture);
  counts.listed = accepted.entries.length;
  counts.fetched = 0;

  await inParallel(
    accepted.entries,
    LIMITS.archiveConcurrency,
    signal,
    async ({ path, entry }, both) => {
      const sha256 = (entry.hashes.SHA256 ?? null) as Sha256 | null;
      const isStored = sha256 !== null && !missing.has(sha256);
      const isKept = isStored && before.get(path) === sha256;
      const isProven = isKept && isListedAlike(listedBefore.get(path), entry);
      if (isStored && !isProven) await assertStored({ ...capture, signal: both }, path, entry);
      found.set(
        path,
        isKept
          ? sha256
          : await fetchIndex(
              { ...capture, signal: both },
              path,
              entry,
              isStored,
              accepted.fetched,
              kept,
            ),
      );
      counts.fetched += 1;
    },
  );

  const indices: SnapshotIndex[] = [];
  const absent: RepoPath[] = [];
  for (const { path, entry } of accepted.entries) {
    const sha256 = found.get(path) ?? null;
    if (sha256 === null) absent.push(path);
    else
      indices.push({
        path,
        size: entry.size,
        sha256,
        byHashPaths: byHashPaths(path, entry.hashes),
      });
  }
  return { indices, absent };
}

/** The entries of the newest generation. */
async function entriesOf({ newest, folder }: Capture): Promise<Map<RepoPath, ReleaseEntry>> {
  if (newest === null) return new Map();
  const { body } = await verifyReleaseSet(newest.releaseSet, null, new Date());
  const entries = [...parseRelease(body).entries.values()];
  return new Map(entries.map((entry) => [joinPath(folder, entry.path), entry]));
}

const isListedAlike = (one: ReleaseEntry | undefined, other: ReleaseEntry): boolean =>
  one !== undefined &&
  one.size === other.size &&
  HASHES.every((name) => one.hashes[name] === other.hashes[name]);

/**
 * The catalog has these bytes, and Release lists a size or a digest for them that they were not
 * compared with yet.
 * @throws INDEX_MISMATCH
 */
async function assertStored(
  { deps, signal }: Capture,
  path: RepoPath,
  entry: ReleaseEntry,
): Promise<void> {
  const bytes = await openIndexContent(deps.database, entry.hashes.SHA256 as Sha256);
  if (bytes === null) throw new Error(`the catalog has lost ${path}`);
  const measure = new Measure(entry.hashes);
  for await (const chunk of bytes) {
    signal.throwIfAborted();
    measure.add(chunk);
  }
  const difference = differenceOf(entry, measure.end());
  if (difference === null) return;
  throw new DebgeoError('INDEX_MISMATCH', `${path} differs from what Release says`, difference);
}

function refuseTooMuch(accepted: AcceptedRelease, max: number): void {
  const bytes = accepted.entries.reduce((sum, { entry }) => sum + entry.size, 0);
  if (bytes <= max) return;
  throw new DebgeoError('LIMIT_EXCEEDED', 'the indices of the selection are too large together', {
    expected: `at most ${max} bytes`,
    found: `${bytes} bytes`,
  });
}

/**
 * Fetches one listed file: by-hash under the strongest hash, else at its canonical name.
 * @param isStored the catalog has these bytes, of another index: the archive is only asked whether
 *   it has the file
 * @returns its digest; null: the archive has it at neither place
 */
async function fetchIndex(
  capture: Capture,
  path: RepoPath,
  entry: ReleaseEntry,
  isStored: boolean,
  releaseSet: ReleaseSet,
  kept: KeptContents,
): Promise<Sha256 | null> {
  const { archive, deps } = capture;
  const sha256 = (entry.hashes.SHA256 ?? null) as Sha256 | null;
  const fetchFrom = async (place: RepoPath, signal: AbortSignal): Promise<Sha256 | null> => {
    const bytes = await archive.open(place, entry.size, signal);
    if (bytes === null) return null;
    if (!isStored || sha256 === null)
      return storeIndexContent(
        deps.database,
        { size: entry.size, sha256, hashes: entry.hashes },
        bytes,
        isRead(path) ? kept : null,
      );
    await closeStream(bytes);
    return sha256;
  };
  let mismatch: DebgeoError | null = null;
  let isGone = false;
  for (const place of [...byHashPaths(path, entry.hashes).slice(0, 1), path]) {
    try {
      const found = await inTime(capture, place, (signal) => fetchFrom(place, signal));
      if (found !== null) return found;
      isGone = true;
    } catch (error) {
      if (isGone && isUnreachable(error)) await assertStillReleased(capture, releaseSet, null);
      if (!isOtherBytes(error)) throw error;
      mismatch = new DebgeoError(
        'INDEX_MISMATCH',
        `${place} differs from what Release says`,
        expectedAndFound(error),
        error,
      );
    }
  }
  if (mismatch === null) return null;
  await assertStillReleased(capture, releaseSet, null);
  throw mismatch;
}

/**
 * Some bytes a second are no stall and no line too slow, and an index of gigabytes would come for
 * days.
 * @throws ARCHIVE_SLOW not within LIMITS.fetchMs; DISK_FULL
 */
async function inTime<T>(
  { deps, signal }: Capture,
  place: RepoPath,
  fetch: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { fetchMs } = deps.indexLimits ?? LIMITS;
  const deadline = AbortSignal.timeout(fetchMs);
  try {
    return await fetch(AbortSignal.any([signal, deadline]));
  } catch (error) {
    if (signal.aborted || !(error instanceof Error)) throw error;
    if (error.name === 'AbortError' && deadline.aborted)
      throw new DebgeoError(
        'ARCHIVE_SLOW',
        `${place} did not come in time`,
        { expected: `within ${fetchMs} ms` },
        error,
      );
    if (isDiskFull(error))
      throw new DebgeoError(
        'DISK_FULL',
        `the worker cannot keep ${place} in ${tmpdir()}`,
        { found: error.code, state: 'nothing was saved; the sites serve what they served' },
        error,
      );
    throw error;
  }
}

/** No room left, or a quota of the worker's user is used up. */
const isDiskFull = (error: Error): error is Error & { readonly code: string } =>
  'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT');

const isRead = (path: RepoPath): boolean => isPackages(path) || isSources(path);

/**
 * A file that is longer than Release says is LIMIT_EXCEEDED where it is opened with that size, and
 * a mismatch here.
 */
const isOtherBytes = (error: unknown): error is DebgeoError =>
  error instanceof DebgeoError &&
  (error.code === 'INDEX_MISMATCH' || error.code === 'LIMIT_EXCEEDED');

/**
 * What is gone by hash is of an older release, and its name may be answered in any way: GitLab says
 * 204 there where the newer index is empty.
 */
const isUnreachable = (error: unknown): boolean =>
  error instanceof DebgeoError && error.code === 'ARCHIVE_UNREACHABLE';

async function closeStream(bytes: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of bytes) return;
}

/**
 * A file that is wrong or absent because the archive released meanwhile is no fault of the archive.
 * @throws ReleasedMeanwhile
 */
export async function assertStillReleased(
  capture: Capture,
  releaseSet: ReleaseSet,
  validator: Validator | null,
): Promise<void> {
  const { archive, folder, signal } = capture;
  const fetched = await archive.fetchReleaseSet(folder, validator, signal);
  if (fetched !== 'unchanged' && !isSameReleaseSet(fetched.releaseSet, releaseSet))
    throw new ReleasedMeanwhile();
}
