/**
 * Archive → catalog (ARCHITECTURE: the way of one change, step 2). Reads top to bottom: look, judge, fetch, read, save.
 * Nothing is saved before all of it was fetched and checked; a capture that is killed leaves only index bytes behind, which the next one finds.
 *
 * Longer than a screen or two because an archive may change at any moment while it is read, and that is decided here and nowhere else.
 */
import { createHash } from 'node:crypto';
import { decompress } from '../src/archive/decompress.ts';
import type { Archive, Validator } from '../src/archive/archive.ts';
import { verifyReleaseSet } from '../src/archive/verify-signature.ts';
import {
  indexDigestsOf,
  isSameReleaseSet,
  readDistribution,
  saveResigned,
  saveSnapshot,
  type DistributionRecord,
} from '../src/database/catalog.ts';
import { missingContents, openIndexContent, storeIndexContent } from '../src/database/index-contents.ts';
import { loadRoster, recordLook } from '../src/database/replications.ts';
import { DebgeoError } from '../src/domain/errors.ts';
import { judgeFreshness } from '../src/domain/freshness.ts';
import {
  BlobSet,
  compressionOf,
  isPackages,
  isSources,
  PackagesReader,
  SourcesReader,
  stemOf,
  type Compression,
} from '../src/domain/index-file.ts';
import { LIMITS } from '../src/domain/limits.ts';
import { byHashPaths, parseRelease, selectEntries, suiteFolder, type Release, type ReleaseEntry } from '../src/domain/release.ts';
import type { Roster } from '../src/domain/replication.ts';
import { joinPath, RELEASE_SET_NAMES, type RepoPath } from '../src/domain/repo-path.ts';
import { sha256Of, type Sha256 } from '../src/domain/sha256.ts';
import type { Blob, ReleaseSet, SnapshotIndex } from '../src/domain/snapshot.ts';
import { activityContext, withHeartbeat } from './context.ts';
import type { Deps } from './deps.ts';

export interface CaptureInput {
  readonly distribution: string;
  /** Ask without If-None-Match: after `update` and after a failure. */
  readonly unconditional: boolean;
}

export interface CaptureResult {
  readonly outcome: 'captured' | 'unchanged';
  readonly generation: number;
  readonly roster: Roster;
}

/** Every so often the archive is asked unconditionally: a validator that never changes would hide every release. */
const UNCONDITIONAL_EVERY = 10;
/** A capture starts over this often, in all, when the archive releases meanwhile. */
const STARTS_MAX = 3;
/** Of the variants of one index, the cheapest to decompress is parsed. */
const PARSED_FIRST: readonly Compression[] = ['gz', 'zst', 'xz', 'none'];

/** What one capture works with. */
interface Capture {
  readonly deps: Deps;
  readonly record: DistributionRecord;
  readonly archive: Archive;
  readonly folder: string;
  readonly signal: AbortSignal;
  /** For the heartbeats. */
  readonly counts: { listed: number; fetched: number; read: number; poolFiles: number };
}

/** A Release set that was authenticated and judged fresh, with what the selection takes of it. */
interface AcceptedRelease {
  readonly releaseSet: ReleaseSet;
  readonly signers: readonly string[];
  readonly bodySha256: Sha256;
  readonly release: Release;
  readonly entries: readonly { readonly path: RepoPath; readonly entry: ReleaseEntry }[];
}

class ReleasedMeanwhile extends Error {}

/**
 * Looks at the archive of a distribution and, if it released, saves that as the next generation.
 * Errors: those of Archive; SIGNATURE_*, RELEASE_*, SELECTION_UNKNOWN, HOSTILE_PATH, INDEX_*, LIMIT_EXCEEDED, SNAPSHOT_EMPTY, ARCHIVE_CHANGING.
 */
export const createCaptureSnapshot =
  (deps: Deps) =>
  async (input: CaptureInput): Promise<CaptureResult> => {
    const context = activityContext();
    const counts = { listed: 0, fetched: 0, read: 0, poolFiles: 0 };
    return withHeartbeat(
      context,
      () => ({ ...counts }),
      async () => {
        const record = await readDistribution(deps.database.read, input.distribution);
        if (record === null) return { outcome: 'unchanged', generation: 0, roster: await loadRoster(deps.database, input.distribution) };
        const capture = {
          deps,
          record,
          archive: deps.archiveOf(record.archive),
          folder: suiteFolder(record.suite),
          signal: context.signal,
          counts,
        };
        const unconditional = input.unconditional || record.newest === null || record.looks + 1 >= UNCONDITIONAL_EVERY;

        const { generation, validator } = await captureRelease(capture, unconditional ? null : record.validator);
        const outcome = generation > record.latestGeneration ? 'captured' : 'unchanged';
        deps.log.info({ distribution: record.name, outcome, generation, ...counts }, 'looked at the archive');
        const roster = await recordLook(deps.database, record.name, { validator, unconditional });
        return { outcome, generation, roster };
      },
    );
  };

async function captureRelease(capture: Capture, known: Validator | null): Promise<{ generation: number; validator: Validator }> {
  let asked = known;
  for (let start = 1; start <= STARTS_MAX; start += 1) {
    const { releaseSet, validator } = await fetchReleaseSet(capture, asked);
    try {
      return { generation: await saveRelease(capture, releaseSet, validator), validator };
    } catch (error) {
      if (!(error instanceof ReleasedMeanwhile)) throw error;
      asked = null;
    }
  }
  throw new DebgeoError('ARCHIVE_CHANGING', `the archive released ${STARTS_MAX} times while it was read`);
}

/** An unchanged Release set is the stored one: keys and dates are judged again, and the selection may have changed. */
async function fetchReleaseSet(capture: Capture, validator: Validator | null): Promise<{ releaseSet: ReleaseSet; validator: Validator }> {
  const { archive, folder, record, signal } = capture;
  const fetched = await archive.fetchReleaseSet(folder, validator, signal);
  if (fetched !== 'unchanged') return fetched;
  if (validator === null || record.newest === null) throw new Error('the archive calls unchanged what it was not asked');
  return { releaseSet: record.newest.releaseSet, validator };
}

async function saveRelease(capture: Capture, releaseSet: ReleaseSet, validator: Validator): Promise<number> {
  const { deps, record } = capture;
  const { newest } = record;
  const accepted = await acceptRelease(capture, releaseSet);
  const { signers, bodySha256, release, entries } = accepted;
  const untorn = release.acquireByHash && releaseSet.inRelease !== null;

  const before =
    newest === null ? new Map<RepoPath, Sha256 | null>() : await indexDigestsOf(deps.database.read, record.id, newest.generation);
  const isSameSelection = before.size === entries.length && entries.every(({ path }) => before.has(path));
  if (newest !== null && isSameSelection && isSameReleaseSet(newest.releaseSet, releaseSet)) return newest.generation;
  if (newest !== null && isSameSelection && newest.bodySha256 === bodySha256)
    return (await saveResigned(deps.database, record.id, newest.generation, { releaseSet, signers, untorn }, validator)).generation;

  const { indices, absent } = await fetchIndices(capture, accepted, before);
  if (absent.length > 0) await assertStillReleased(capture, releaseSet, validator);
  const poolFiles = await readPoolFiles(capture, accepted, indices);
  const { date, validUntil } = release;
  const snapshot = { releaseSet, bodySha256, date, validUntil, signers, untorn, indices, absent, poolFiles };
  return (await saveSnapshot(deps.database, record.id, snapshot, validator, record.latestGeneration)).generation;
}

async function acceptRelease(capture: Capture, releaseSet: ReleaseSet): Promise<AcceptedRelease> {
  const { record, folder } = capture;
  const now = new Date();
  const { body, signers } = await verifyReleaseSet(releaseSet, record.archive.keyring, now);
  const release = parseRelease(body);
  judgeFreshness(release, record.newest, now, { acceptUndated: record.acceptUndated });
  const entries = selectEntries(release, record.selection).map((entry) => ({ path: joinPath(folder, entry.path), entry }));
  return { releaseSet, signers, bodySha256: sha256Of(body), release, entries };
}

/** Fetches what the catalog lacks. Listed is not existing: what is neither by-hash nor at its canonical name is absent. */
async function fetchIndices(
  capture: Capture,
  accepted: AcceptedRelease,
  before: ReadonlyMap<RepoPath, Sha256 | null>,
): Promise<{ indices: SnapshotIndex[]; absent: RepoPath[] }> {
  const { deps, counts, signal } = capture;
  const listed = accepted.entries.flatMap(({ entry }) => entry.hashes.SHA256 ?? []) as Sha256[];
  const missing = await missingContents(deps.database.read, listed);
  const found = new Map<RepoPath, Sha256 | null>();
  counts.listed = accepted.entries.length;
  counts.fetched = 0;

  await inParallel(accepted.entries, LIMITS.archiveConcurrency, signal, async ({ path, entry }, both) => {
    const sha256 = (entry.hashes.SHA256 ?? null) as Sha256 | null;
    const isStored = sha256 !== null && !missing.has(sha256);
    const isKept = isStored && before.get(path) === sha256;
    found.set(path, isKept ? sha256 : await fetchIndex({ ...capture, signal: both }, path, entry, isStored, accepted.releaseSet));
    counts.fetched += 1;
  });

  const indices: SnapshotIndex[] = [];
  const absent: RepoPath[] = [];
  for (const { path, entry } of accepted.entries) {
    const sha256 = found.get(path) ?? null;
    if (sha256 === null) absent.push(path);
    else indices.push({ path, size: entry.size, sha256, byHashPaths: byHashPaths(path, entry.hashes) });
  }
  return { indices, absent };
}

/**
 * One listed file: by-hash under the strongest hash, else at its canonical name.
 * @param isStored the catalog has these bytes, of another index: only whether the archive has this one is asked
 * @returns its digest, null: the archive has it at neither place
 */
async function fetchIndex(
  capture: Capture,
  path: RepoPath,
  entry: ReleaseEntry,
  isStored: boolean,
  releaseSet: ReleaseSet,
): Promise<Sha256 | null> {
  const { archive, deps, signal } = capture;
  const sha256 = (entry.hashes.SHA256 ?? null) as Sha256 | null;
  let mismatch: DebgeoError | null = null;
  for (const place of [...byHashPaths(path, entry.hashes).slice(0, 1), path]) {
    try {
      const bytes = await archive.open(place, entry.size, signal);
      if (bytes === null) continue;
      if (!isStored || sha256 === null)
        return await storeIndexContent(deps.database, { size: entry.size, sha256, hashes: entry.hashes }, bytes);
      await closeStream(bytes);
      return sha256;
    } catch (error) {
      if (!isOtherBytes(error)) throw error;
      mismatch = new DebgeoError('INDEX_MISMATCH', `${place} differs from what Release says`, factsOf(error), error);
    }
  }
  if (mismatch === null) return null;
  await assertStillReleased(capture, releaseSet, null);
  throw mismatch;
}

/** Longer than Release says is LIMIT_EXCEEDED to the archive, which was told the size, and a mismatch to us. */
const isOtherBytes = (error: unknown): error is DebgeoError =>
  error instanceof DebgeoError && (error.code === 'INDEX_MISMATCH' || error.code === 'LIMIT_EXCEEDED');

const factsOf = ({ report: { expected, found } }: DebgeoError): { expected?: string; found?: string } => ({
  ...(expected === undefined ? {} : { expected }),
  ...(found === undefined ? {} : { found }),
});

async function closeStream(bytes: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of bytes) return;
}

/** What is wrong or absent because the archive released meanwhile is no fault of the archive. */
async function assertStillReleased(capture: Capture, releaseSet: ReleaseSet, validator: Validator | null): Promise<void> {
  const { archive, folder, signal } = capture;
  const fetched = await archive.fetchReleaseSet(folder, validator, signal);
  if (fetched !== 'unchanged' && !isSameReleaseSet(fetched.releaseSet, releaseSet)) throw new ReleasedMeanwhile();
}

/** The pool files that the selected Packages and Sources name, each read once; all variants of an index must hold the same. */
async function readPoolFiles(capture: Capture, accepted: AcceptedRelease, indices: readonly SnapshotIndex[]): Promise<Blob[]> {
  const { folder, counts } = capture;
  const published = [...RELEASE_SET_NAMES.map((name) => joinPath(folder, name)), ...accepted.entries.map(({ path }) => path)];
  const poolFiles = new BlobSet(published);
  const stems = new Set(accepted.entries.map(({ path }) => stemOf(path)).filter((stem) => isPackages(stem) || isSources(stem)));
  for (const stem of stems) {
    const variants = indices.filter(({ path }) => stemOf(path) === stem);
    await readVariants(capture, stem, variants, listedContent(accepted, stem), (blob) => poolFiles.add(blob));
    counts.read += 1;
    counts.poolFiles = poolFiles.size;
  }
  return poolFiles.toArray();
}

interface Content {
  readonly size: number;
  readonly sha256: Sha256 | null;
}

/** What Release says of the uncompressed index: often listed, rarely there. */
function listedContent(accepted: AcceptedRelease, stem: string): Content | null {
  const uncompressed = accepted.entries.find(({ path }) => path === stem)?.entry;
  return uncompressed === undefined ? null : { size: uncompressed.size, sha256: (uncompressed.hashes.SHA256 ?? null) as Sha256 | null };
}

async function readVariants(
  capture: Capture,
  stem: string,
  variants: readonly SnapshotIndex[],
  listed: Content | null,
  onBlob: (blob: Blob) => void,
): Promise<void> {
  const readable = PARSED_FIRST.flatMap((compression) => variants.filter(({ path }) => compressionOf(path) === compression));
  if (readable.length === 0) {
    const found = variants.map(({ path }) => path).join(', ') || 'none';
    throw new DebgeoError('INDEX_MISSING', `no variant of ${stem} can be read`, { expected: PARSED_FIRST.join(', '), found });
  }
  let content = listed;
  for (const [position, variant] of readable.entries()) {
    const reader = isPackages(stem) ? new PackagesReader('', onBlob) : new SourcesReader('', onBlob);
    const read = await readVariant(capture, variant, content, position === 0 ? reader : null);
    if (content !== null && (read.size !== content.size || (content.sha256 !== null && read.sha256 !== content.sha256))) {
      const expected = `${content.size} bytes, SHA-256 ${content.sha256 ?? 'not listed'}`;
      throw contradiction(variant, expected, `${read.size} bytes, SHA-256 ${read.sha256}`);
    }
    content = read;
  }
}

/** Decompresses an index as a stream, hashes what comes out and lets the reader see it. */
async function readVariant(
  capture: Capture,
  variant: SnapshotIndex,
  content: Content | null,
  reader: PackagesReader | SourcesReader | null,
): Promise<{ size: number; sha256: Sha256 }> {
  const compression = compressionOf(variant.path);
  const bytes = await openIndexContent(capture.deps.database, variant.sha256);
  if (bytes === null || compression === 'unsupported') throw new Error(`the catalog cannot read ${variant.path}`);
  const sizeMax = content?.size ?? LIMITS.decompressedBytesUnlisted;
  const hash = createHash('sha256');
  let size = 0;
  try {
    for await (const chunk of decompress(bytes, compression, sizeMax)) {
      capture.signal.throwIfAborted();
      hash.update(chunk);
      size += chunk.length;
      reader?.push(chunk);
    }
    reader?.end();
  } catch (error) {
    throw named(error, variant, content);
  }
  return { size, sha256: hash.digest('hex') as Sha256 };
}

/** With the index that it happened in. More bytes than the uncompressed entry lists contradict that entry. */
function named(error: unknown, variant: SnapshotIndex, content: Content | null): unknown {
  if (!(error instanceof DebgeoError)) return error;
  if (error.code === 'LIMIT_EXCEEDED' && content !== null && error.report.expected === `at most ${content.size} bytes`)
    return contradiction(variant, `${content.size} bytes`, 'more');
  return new DebgeoError(error.code, `${variant.path}: ${error.message}`, factsOf(error), error);
}

const contradiction = (variant: SnapshotIndex, expected: string, found: string): DebgeoError =>
  new DebgeoError('INDEX_CONTRADICTION', `${variant.path} does not decompress to what Release lists, or to what its other variants hold`, {
    expected,
    found,
  });

/** The first error ends the others, and is thrown when all have ended. */
async function inParallel<Item>(
  items: readonly Item[],
  concurrency: number,
  signal: AbortSignal,
  work: (item: Item, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const stop = new AbortController();
  const both = AbortSignal.any([signal, stop.signal]);
  const queue = items.values();
  const errors: unknown[] = [];
  const takeTurns = async (): Promise<void> => {
    for (const item of queue) {
      if (both.aborted) return;
      try {
        await work(item, both);
      } catch (error) {
        errors.push(error);
        stop.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: concurrency }, takeTurns));
  if (errors.length > 0) throw errors[0];
  signal.throwIfAborted();
}
