import { verifyReleaseSet } from '../../src/archive/verify-signature.ts';
import { readHead, type LaneHead } from '../../src/database/anchors/heads.ts';
import type { DistributionRecord } from '../../src/database/catalog/distributions.ts';
import { openIndexContent } from '../../src/database/catalog/index-contents.ts';
import { byHashMembers, smallestMember } from '../../src/database/catalog/members.ts';
import {
  publishedNamesOf,
  readSnapshot,
  type StoredSnapshot,
} from '../../src/database/catalog/snapshots.ts';
import type { Database } from '../../src/database/orm.ts';
import { hasDoubtedName } from '../../src/database/publications/names.ts';
import {
  finishPublication,
  openPublication,
} from '../../src/database/publications/publications.ts';
import { assertSettled, barrier } from '../../src/database/registry/barrier.ts';
import { doubtBlobs } from '../../src/database/registry/judgements.ts';
import { endStep } from '../../src/database/registry/progress.ts';
import type { LaneKey } from '../../src/database/replication-row.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import { judgeFreshness } from '../../src/domain/freshness.ts';
import { publicationOrder } from '../../src/domain/publication-order.ts';
import { suiteFolder } from '../../src/domain/release.ts';
import { releaseSetPaths, type RepoPath } from '../../src/domain/repo-path.ts';
import type { Sha256 } from '../../src/domain/sha256.ts';
import type { PublishedName, ReleaseSet } from '../../src/domain/snapshot.ts';
import { encodeRelease, type Encoded } from '../../src/site-format/anchors.ts';
import type { Deps } from '../deps.ts';
import { once } from '../once.ts';
import { readBack } from '../read-back.ts';
import { assertRightAtSite } from './assert-right-at-site.ts';
import { readLost } from './lost-release.ts';
import { probe, type Published } from './probe-site.ts';
import { NamesPublisher, type ContentOf } from './publish-names.ts';
import { NOT_FOUND, readShown } from './read-shown.ts';
import { atSite, inStep, type SiteStep, type StepAnswer, type StepInput } from './step.ts';
import { isHeadAsBooked, writeHead } from './write-head.ts';

/**
 * Makes the generation visible at the site: canonical indices, Release.gpg, Release, and InRelease
 * last; only what differs is written.
 *
 * A publication cannot be taken back. So these are judged before its first write: the barrier, the
 * signature and freshness as of now, and that the public URL shows what is at the site. From then
 * on there is no other way than through: the intent stays open, and pins the generation, until
 * InRelease is there. Given twice, or killed anywhere: an attempt that finds an open intent reads
 * each name back before it writes it; one that finds the generation served writes nothing. After
 * `verify`, and after a failure, every published name is read back and repaired.
 * @returns repair: immutable blobs that the barrier misses; nothing was written
 * @throws GENERATION_BACKWARDS, FOREIGN_WRITE, SITE_NOT_PUBLIC, SITE_SERVES_OTHER, RELEASE_EXPIRED,
 *   RELEASE_FUTURE, SIGNATURE_*
 * @throws BLOB_CORRUPT what readers are shown is rot of the site: the next attempt repairs it
 * @throws SITE_TAKEN, SITE_AHEAD, SITE_BEHIND the publication stays open, and no published name was
 *   changed
 */
export const createPublishSnapshot =
  (deps: Deps) =>
  (input: StepInput): Promise<StepAnswer> =>
    inStep(deps, input, async (begun) => {
      const step = await atSite(deps, begun);
      const { repair, published } = await publish(deps, step);
      const row =
        repair > 0 || !input.probe
          ? await endStep(deps.database, step.key)
          : await probe(deps, step, published);
      return { more: false, repair, row };
    });

interface PublishAnswer {
  readonly repair: number;
  /** What is served now, where this attempt has read it. */
  readonly published?: Published;
}

async function publish(deps: Deps, step: SiteStep): Promise<PublishAnswer> {
  const { key, row, distribution } = step;
  const { database } = deps;
  const isServed = row.served === key.generation && !row.publishing;
  // After a failure, too: a published name that the probe found wrong is repaired here, and so is
  // one that a scrub found wrong.
  const isVerifying =
    row.verifyRequestedAt !== null ||
    row.retryCount > 0 ||
    step.lost !== null ||
    (isServed && (await hasDoubtedName(database.read, key)));
  // An attempt whose predecessor died between the last commit and its answer to Temporal ends here.
  if (isServed && !isVerifying) return { repair: 0 };

  const behind = await barrier(database.read, key);
  const repair = behind.unsettled - behind.unplanned;
  if (repair > 0) return { repair };
  assertSettled(behind, key.generation);

  const snapshot = await readSnapshot(database.read, key.distributionId, key.generation);
  if (snapshot === null)
    throw new Error(`generation ${key.generation} of ${distribution.name} is not stored`);
  if (!isServed && !row.publishing) await judgeAgain(step, snapshot);
  if (!isServed) await assertPublic(deps, step);

  const folder = suiteFolder(distribution.suite);
  const wanted = await publishedNamesOf(database.read, key.distributionId, key.generation, folder);
  const before = await readHead(database.read, key);
  const isHeadRight = isServed && (await isHeadAsBooked(step, before));
  const release = isHeadRight ? null : releaseOf(distribution, snapshot, wanted, before);
  const isLost = await readLost(step, before.lost);
  // If we die up to here, nothing was written: the next attempt begins anew.
  const publication = await openPublication(database, key, release?.sha256 ?? null);
  // If we die here, the site is as it was, and the rows have an open intent, which pins the
  // generation: no cancel, failure or newer generation goes another way. The next attempt takes the
  // intent over, and reads each name back before it writes it. Where the generation was served
  // already there is no intent, and the next attempt verifies anew.
  const written = release === null ? null : await writeHead(database, step, before, release);
  const present = [...publication.names]
    .filter(([, name]) => name.sha256 !== null)
    .map(([path]) => path);
  const publisher = new NamesPublisher(
    database,
    step,
    publication,
    contentsOf(deps, step, snapshot.releaseSet, folder),
    { isLost, verifying: isVerifying },
  );
  const windowMs = await publisher
    .publish(publicationOrder(wanted, present, folder))
    .catch((error: unknown) => doubtCopies(database, key, error));
  // Copied again, the next attempt goes on; where no origin has them, the lane learns it there.
  if (typeof windowMs === 'object') return windowMs;
  // If we die here, the site serves this generation, whole, and every name is booked, but the rows
  // still call the generation before it served, and the intent is open. The next attempt writes
  // nothing and finishes. The window that it books began with this attempt.
  // If we die while finishPublication commits, either that is so, or the rows say served: then the
  // next attempt only answers.

  if (written !== null) await finishPublication(database, publication, written, windowMs);
  return { repair: 0, published: { names: wanted, untorn: snapshot.untorn } };
}

/**
 * The bytes of an index are not in the catalog, and its by-hash copies at this very site, which
 * were verified, are gone: they are copied again from wherever they are.
 * @throws the error itself where there are no such copies
 */
async function doubtCopies(
  database: Database,
  key: LaneKey,
  error: unknown,
): Promise<{ repair: number }> {
  const isMissing = error instanceof DebgeoError && error.code === 'BLOB_MISSING';
  const sha256 = isMissing ? (error.report.expected as Sha256 | undefined) : undefined;
  const repair = sha256 === undefined ? 0 : await doubtBlobs(database.read, key, sha256);
  if (repair === 0) throw error;
  return { repair };
}

/**
 * R: the same for every attempt of a publication, unless the selection was changed meanwhile. What
 * was visible before is what this database lost, where it lost something.
 */
function releaseOf(
  { archive, suite, selection }: DistributionRecord,
  { releaseSet }: StoredSnapshot,
  names: readonly PublishedName[],
  { head, lost }: LaneHead,
): Encoded {
  const ofReleaseSet = releaseSetPaths(suiteFolder(suite));
  const absent = names
    .filter(({ path, sha256 }) => sha256 === null && !ofReleaseSet.includes(path))
    .map(({ path }) => path)
    .toSorted();
  const previous = lost ?? head?.release ?? null;
  return encodeRelease({ mount: archive.mount, suite, selection, releaseSet, absent, previous });
}

/** Keys expire and are withdrawn, and releases expire, between capture and publication. */
async function judgeAgain({ distribution }: SiteStep, snapshot: StoredSnapshot): Promise<void> {
  const now = new Date();
  await verifyReleaseSet(snapshot.releaseSet, distribution.archive.keyring, now);
  judgeFreshness(snapshot, null, now, distribution);
}

/** Under the public URL every reader must get a file that is verified at the site. */
async function assertPublic(deps: Deps, step: SiteStep): Promise<void> {
  const sample = await smallestMember(deps.database.read, step.key);
  if (sample === null) return;
  const { signal } = step.context;
  const found = await readShown(step, sample, signal);
  if (found === sample.sha256) return;
  const place = step.placeOf(sample.path);
  if (found === NOT_FOUND && (await readBack(step.store, place, signal)) === null)
    throw new DebgeoError('SITE_BEHIND', `${sample.path} was verified, and is gone from the site`, {
      expected: sample.sha256,
      found: 'nothing',
      state: 'nothing was published',
    });
  await assertRightAtSite(deps, step, sample);
  throw new DebgeoError(
    found === NOT_FOUND ? 'SITE_NOT_PUBLIC' : 'SITE_SERVES_OTHER',
    `${step.publicUrl} does not show what is at the site: ${sample.path}`,
    {
      expected: sample.sha256,
      found,
      state: 'nothing was published',
    },
  );
}

/**
 * The Release set as captured; indices as captured, else from their by-hash copy at this very site.
 * The archive is not needed.
 */
function contentsOf(deps: Deps, step: SiteStep, releaseSet: ReleaseSet, folder: string): ContentOf {
  const [inRelease, release, releaseGpg] = releaseSetPaths(folder);
  const ofReleaseSet = new Map<RepoPath, Uint8Array | null>([
    [inRelease, releaseSet.inRelease],
    [release, releaseSet.release],
    [releaseGpg, releaseSet.releaseGpg],
  ]);
  return async function* (name, signal) {
    const stored = ofReleaseSet.get(name.path);
    if (stored) yield once(stored);
    if (stored !== undefined || name.sha256 === null) return;

    const captured = await openIndexContent(deps.database, name.sha256);
    if (captured !== null) yield captured;
    for (const member of await byHashMembers(deps.database.read, step.key, [name.sha256])) {
      const blob = await step.store.open(step.placeOf(member.path), signal);
      if (blob !== null) yield blob.bytes;
    }
  };
}
