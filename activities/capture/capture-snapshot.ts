/**
 * Archive → catalog (ARCHITECTURE.md, "The way of one change"). Reads top to bottom: look,
 * judge, fetch, read, save. No snapshot is saved before all of it was fetched and checked; a
 * capture that is killed leaves only index bytes behind, which the next one finds.
 */
import { verifyReleaseSet } from '../../src/archive/verify-signature.ts';
import { noticeRestore } from '../../src/database/anchors/restored.ts';
import { readDistribution } from '../../src/database/catalog/distributions.ts';
import { KeptContents } from '../../src/database/catalog/index-contents.ts';
import { saveResigned, saveSnapshot } from '../../src/database/catalog/save-snapshot.ts';
import {
  indexDigestsOf,
  isSameReleaseSet,
  readSnapshot,
} from '../../src/database/catalog/snapshots.ts';
import { recordLook } from '../../src/database/replications/looks.ts';
import { reserveOlderAcceptance } from '../../src/database/replications/older-acceptances.ts';
import { loadRoster } from '../../src/database/replications/roster.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import { isOlder, judgeFreshness } from '../../src/domain/freshness.ts';
import type { GoodSignature } from '../../src/domain/key-expiry.ts';
import { parseRelease, suiteFolder } from '../../src/domain/release.ts';
import type { Roster } from '../../src/domain/replication.ts';
import { joinPath, type RepoPath } from '../../src/domain/repo-path.ts';
import { selectEntries } from '../../src/domain/select-entries.ts';
import { sha256Of, type Sha256 } from '../../src/domain/sha256.ts';
import type { Validator } from '../../src/domain/snapshot.ts';
import type { ReleaseSet } from '../../src/domain/snapshot.ts';
import { activityContext, isWorkerStopping, withHeartbeat } from '../context.ts';
import type { Deps } from '../deps.ts';
import type { AcceptedRelease, Capture } from './capture.ts';
import { assertStillReleased, fetchIndices, ReleasedMeanwhile } from './fetch-indices.ts';
import type { RosterInput } from './load-roster.ts';
import { readPoolFiles } from './read-pool-files.ts';

export interface CaptureInput extends RosterInput {
  /** Ask without If-None-Match: after `update` and after a failure. */
  readonly unconditional: boolean;
}

export interface CaptureResult {
  /** interrupted: its worker stops before the look has ended; nothing is known of the archive. */
  readonly outcome: 'captured' | 'unchanged' | 'interrupted';
  readonly generation: number;
  readonly roster: Roster;
}

const NO_VALIDATOR: Validator = { etag: null, lastModified: null };
/**
 * One look of so many is unconditional: an archive whose validator never changes would hide its
 * releases.
 */
const UNCONDITIONAL_EVERY = 10;
/** A capture starts over this often, in all, when the archive releases meanwhile. */
const STARTS_MAX = 3;

/**
 * Looks at the archive of a distribution and, if it released, saves that as the next generation.
 * @throws those of Archive; SIGNATURE_*, RELEASE_*, SELECTION_UNKNOWN, HOSTILE_PATH, INDEX_*,
 * LIMIT_EXCEEDED, SNAPSHOT_EMPTY, ARCHIVE_CHANGING.
 */
export const createCaptureSnapshot =
  (deps: Deps) =>
  async (input: CaptureInput): Promise<CaptureResult> => {
    const context = activityContext();
    const counts = { listed: 0, fetched: 0, read: 0, poolFiles: 0 };
    try {
      return await withHeartbeat(
        context,
        () => ({ ...counts }),
        () => look(deps, input, context.signal, counts),
      );
    } catch (error) {
      if (!isWorkerStopping(context)) throw error;
      const roster = await loadRoster(deps.database, input.distribution);
      return { outcome: 'interrupted', generation: roster.generation, roster };
    }
  };

async function look(
  deps: Deps,
  input: CaptureInput,
  signal: AbortSignal,
  counts: Capture['counts'],
): Promise<CaptureResult> {
  const { read } = deps.database;
  await noticeRestore(deps.database, input.distribution, input.seenRev);
  const record = await readDistribution(read, input.distribution);
  if (record === null) {
    const roster = await loadRoster(deps.database, input.distribution);
    return { outcome: 'unchanged', generation: 0, roster };
  }
  const newest = await readSnapshot(read, record.id, record.latestGeneration);
  const capture = {
    deps,
    record,
    newest,
    olderAcceptance: await reserveOlderAcceptance(deps.database, record.id),
    archive: await deps.archiveOf(record.archive),
    folder: suiteFolder(record.suite),
    signal,
    counts,
  };
  const unconditional =
    input.unconditional || newest === null || record.looks + 1 >= UNCONDITIONAL_EVERY;

  const found = await captureRelease(capture, unconditional ? null : record.validator);
  const { generation } = found;
  const outcome = generation > record.latestGeneration ? 'captured' : 'unchanged';
  deps.log.info(
    { distribution: record.name, outcome, generation, ...counts },
    'looked at the archive',
  );
  const facts = { validator: found.validator, unconditional, signatures: found.signatures };
  const roster = await recordLook(deps.database, record.name, facts);
  return { outcome, generation, roster };
}

/** What a look found. */
interface Saved {
  readonly generation: number;
  /** To begin the next look with. */
  readonly validator: Validator;
  readonly signatures: readonly GoodSignature[];
}

async function captureRelease(capture: Capture, known: Validator | null): Promise<Saved> {
  let asked = known;
  for (let start = 1; start <= STARTS_MAX; start += 1) {
    const { releaseSet, validator } = await fetchReleaseSet(capture, asked);
    try {
      return await saveRelease(capture, releaseSet, validator);
    } catch (error) {
      if (!(error instanceof ReleasedMeanwhile)) throw error;
      asked = null;
    }
  }
  throw new DebgeoError(
    'ARCHIVE_CHANGING',
    `the archive released ${STARTS_MAX} times while it was read`,
    {
      expected: 'the same Release set before and after',
      found: 'another one each time',
    },
  );
}

/**
 * Where the archive answers "unchanged": the stored Release set, since keys and dates are judged at
 * every look, and the selection may have changed.
 */
async function fetchReleaseSet(
  capture: Capture,
  validator: Validator | null,
): Promise<{ releaseSet: ReleaseSet; validator: Validator }> {
  const { archive, folder, newest, signal } = capture;
  const fetched = await archive.fetchReleaseSet(folder, validator, signal);
  if (fetched !== 'unchanged') return fetched;
  if (validator === null || newest === null)
    throw new Error('the archive answers "unchanged" to a question without a validator');
  return { releaseSet: newest.releaseSet, validator };
}

async function saveRelease(
  capture: Capture,
  fetched: ReleaseSet,
  asked: Validator,
): Promise<Saved> {
  const accepted = await acceptRelease(capture, fetched);
  // The validator is that of InRelease, which does not change when Release and Release.gpg match it
  // at last: while they do not, the next look asks without it.
  const validator = accepted.releaseSet === fetched ? asked : NO_VALIDATOR;
  const generation = await saveAccepted(capture, accepted, asked, validator);
  return { generation, validator, signatures: accepted.signatures };
}

/**
 * @param asked to ask whether the archive released meanwhile
 * @param validator to begin the next look with
 */
async function saveAccepted(
  capture: Capture,
  accepted: AcceptedRelease,
  asked: Validator,
  validator: Validator,
): Promise<number> {
  const { deps, record, newest, olderAcceptance } = capture;
  const { releaseSet, signers, bodySha256, release, entries } = accepted;
  const untorn = release.acquireByHash && releaseSet.inRelease !== null;

  const before =
    newest === null
      ? new Map<RepoPath, Sha256 | null>()
      : await indexDigestsOf(deps.database.read, record.id, newest.generation);
  const isSameSelection =
    before.size === entries.length && entries.every(({ path }) => before.has(path));
  if (newest !== null && isSameSelection && isSameReleaseSet(newest.releaseSet, releaseSet))
    return newest.generation;
  if (newest !== null && isSameSelection && newest.bodySha256 === bodySha256)
    return (
      await saveResigned(
        deps.database,
        record.id,
        newest.generation,
        { releaseSet, signers, untorn },
        validator,
      )
    ).generation;

  const { indices, absent, poolFiles } = await readIndices(capture, accepted, before, asked);
  const { date, validUntil } = release;
  const snapshot = {
    releaseSet,
    bodySha256,
    date,
    validUntil,
    signers,
    untorn,
    indices,
    absent,
    poolFiles,
  };
  const acceptance = isOlder(release, newest) ? olderAcceptance : null;
  return (
    await saveSnapshot(
      deps.database,
      record.id,
      snapshot,
      validator,
      record.latestGeneration,
      acceptance,
    )
  ).generation;
}

async function readIndices(
  capture: Capture,
  accepted: AcceptedRelease,
  before: ReadonlyMap<RepoPath, Sha256 | null>,
  asked: Validator,
) {
  await using kept = new KeptContents();
  const { indices, absent } = await fetchIndices(capture, accepted, before, kept);
  if (absent.length > 0) await assertStillReleased(capture, accepted.fetched, asked);
  return { indices, absent, poolFiles: await readPoolFiles(capture, accepted, indices, kept) };
}

async function acceptRelease(capture: Capture, fetched: ReleaseSet): Promise<AcceptedRelease> {
  const { record, newest, olderAcceptance, folder } = capture;
  const now = new Date();
  const { body, signers, good, taken } = await verifyReleaseSet(
    fetched,
    record.archive.keyring,
    now,
  );
  const release = parseRelease(body);
  judgeFreshness(release, newest, now, {
    acceptUndated: record.acceptUndated,
    acceptOlder: olderAcceptance !== null,
  });
  const entries = selectEntries(release, record.selection).map((entry) => ({
    path: joinPath(folder, entry.path),
    entry,
  }));
  return {
    fetched,
    releaseSet: matchingFiles(capture, fetched, taken),
    signers,
    signatures: good,
    bodySha256: sha256Of(body),
    release,
    entries,
  };
}

/**
 * Release and Release.gpg to save when a fetched one does not match InRelease: those of the newest
 * generation if its InRelease is the same, else the fetched ones that match. An archive in the
 * middle of a release takes nothing away from the sites.
 */
function matchingFiles(
  { deps, record, newest }: Capture,
  fetched: ReleaseSet,
  taken: ReleaseSet,
): ReleaseSet {
  if (taken === fetched) return fetched;
  deps.log.warn(
    {
      distribution: record.name,
      release: taken.release !== null,
      releaseGpg: taken.releaseGpg !== null,
    },
    'Release or Release.gpg does not belong to InRelease and is left out',
  );
  const before = newest?.releaseSet;
  const isSame =
    before?.inRelease && taken.inRelease && Buffer.compare(before.inRelease, taken.inRelease) === 0;
  return isSame ? before : taken;
}
