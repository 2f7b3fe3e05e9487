/**
 * A release that is visible at a site, and that this database lost when it was restored. The lane
 * goes forward over it: with a release of the archive that is not older.
 */
import { verifyOnce } from '../../src/archive/verify-signature.ts';
import { readSnapshot } from '../../src/database/catalog/snapshots.ts';
import type { Database } from '../../src/database/orm.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import { HEX_DIGITS } from '../../src/domain/hashes.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { Measure } from '../../src/domain/measure.ts';
import { suiteFolder, type Release } from '../../src/domain/release.ts';
import { joinPath, releaseSetPaths, type RepoPath } from '../../src/domain/repo-path.ts';
import { sha256Of, type Sha256 } from '../../src/domain/sha256.ts';
import type { ReleaseSet } from '../../src/domain/snapshot.ts';
import type { ReleaseAnchor } from '../../src/site-format/anchors.ts';
import { decodeRelease } from '../../src/site-format/decode.ts';
import { releasePath } from '../../src/site-format/paths.ts';
import { readAnchor } from '../anchors.ts';
import type { SiteStep } from './step.ts';

/**
 * The generation is not older than what clients get at the site now: apt keeps what it has when it
 * is shown an older Date, and an older release may name files that were deleted there since.
 * @throws SITE_AHEAD it is older, or one of both has no Date: the archive has to release, or an
 *   operator takes the lost releases into the catalog
 */
export async function assertForward(database: Database, step: SiteStep): Promise<void> {
  const { distributionId, generation } = step.key;
  const [wanted, visible] = await Promise.all([
    readSnapshot(database.read, distributionId, generation),
    readVisible(step),
  ]);
  if (wanted === null || visible === null) return;
  if (isSame(wanted.releaseSet, visible.releaseSet)) return;
  const [from, to] = [visible.release.date, wanted.date];
  if (from !== null && to !== null && to.getTime() >= from.getTime()) return;
  throw new DebgeoError(
    'SITE_AHEAD',
    'the site shows a newer release than the archive, and this database lost it',
    {
      expected: from === null ? 'a visible release with a Date' : `${from.toISOString()} or later`,
      found: to?.toISOString() ?? 'no Date',
      state: 'the site serves what it serves; nothing was copied or changed there',
    },
  );
}

interface Visible {
  readonly releaseSet: ReleaseSet;
  readonly release: Release;
}

/** As apt takes it: InRelease, else Release. Null: nothing that a client accepts. */
async function readVisible(step: SiteStep): Promise<Visible | null> {
  const read = (path: RepoPath) => readFile(step, step.placeOf(path));
  const paths = releaseSetPaths(suiteFolder(step.distribution.suite));
  const inRelease = await read(paths[0]);
  const releaseSet =
    inRelease === null
      ? { inRelease, release: await read(paths[1]), releaseGpg: await read(paths[2]) }
      : { inRelease, release: null, releaseGpg: null };
  return judged(releaseSet, step);
}

async function judged(releaseSet: ReleaseSet, step: SiteStep): Promise<Visible | null> {
  try {
    const { release } = await verifyOnce(releaseSet, step.distribution.archive.keyring);
    return { releaseSet, release };
  } catch (error) {
    if (error instanceof DebgeoError) return null;
    throw error;
  }
}

async function readFile({ store, context }: SiteStep, place: RepoPath): Promise<Uint8Array | null> {
  const found = await store.open(place, context.signal);
  if (found === null || found.size > LIMITS.releaseBytes) return null;
  return Buffer.concat(await Array.fromAsync(found.bytes));
}

const isSame = (one: ReleaseSet, other: ReleaseSet): boolean =>
  other.inRelease === null
    ? isSameFile(one.release, other.release)
    : isSameFile(one.inRelease, other.inRelease);

const isSameFile = (one: Uint8Array | null, other: Uint8Array | null): boolean =>
  one !== null && other !== null && Buffer.compare(one, other) === 0;

/** Whether a release that this database lost had these bytes at the path. */
export type IsLost = (path: RepoPath, sha256: Sha256) => Promise<boolean>;

const NOTHING_LOST: IsLost = () => Promise.resolve(false);

/** SHA-256 of a file; or SHA512, where Release lists no other. By path. */
type Listed = Map<string, Set<string>>;

/**
 * What the lost release has at published names, and the one before it: the site may be between
 * the two. Only what a pinned key signed counts.
 * @param lost null: none
 */
export async function readLost(step: SiteStep, lost: Sha256 | null): Promise<IsLost> {
  if (lost === null) return NOTHING_LOST;
  const listed: Listed = new Map();
  const previous = await listNames(step, lost, listed);
  if (previous !== null) await listNames(step, previous, listed);
  return async (path, seen) => {
    const digests = listed.get(path) ?? new Set();
    if (digests.has(seen)) return true;
    const isToRead = [...digests].some((digest) => digest.length === HEX_DIGITS.SHA512);
    const sha512 = isToRead ? await sha512At(step, path, seen) : null;
    return sha512 !== null && digests.has(sha512);
  };
}

/** Null: other bytes than those that were seen stand there by now. */
async function sha512At(step: SiteStep, path: RepoPath, seen: Sha256) {
  const found = await step.store.open(step.placeOf(path), step.context.signal);
  if (found === null) return null;
  const measure = new Measure({ SHA512: '' });
  for await (const piece of found.bytes) measure.add(piece);
  const { SHA256, SHA512 } = measure.end().hashes;
  return SHA256 === seen ? SHA512! : null;
}

/** @returns R of the release before */
async function listNames(step: SiteStep, digest: Sha256, listed: Listed): Promise<Sha256 | null> {
  const { distribution, store, context } = step;
  const at = { mount: distribution.archive.mount, suite: distribution.suite };
  const place = releasePath(at, digest);
  const found = await readAnchor(store, place, context.signal);
  if (found === null || sha256Of(found.bytes) !== digest) return null;
  const read = decoded(found.bytes, place);
  const signed = read === null ? null : await judged(read.releaseSet, step);
  if (read === null || signed === null) return null;
  const { releaseSet, previous } = read;
  const folder = suiteFolder(distribution.suite);
  const [inRelease, release, releaseGpg] = releaseSetPaths(folder);
  const files = [
    [inRelease, releaseSet.inRelease],
    [release, releaseSet.release],
    [releaseGpg, releaseSet.releaseGpg],
  ] as const;
  const list = (path: RepoPath, one: string): unknown =>
    listed.set(path, (listed.get(path) ?? new Set()).add(one));
  for (const [path, bytes] of files) if (bytes !== null) list(path, sha256Of(bytes));
  for (const { path, hashes } of signed.release.entries.values())
    list(joinPath(folder, path), (hashes.SHA256 ?? hashes.SHA512)!);
  return previous;
}

/** Null: it is no R. */
function decoded(bytes: Uint8Array, place: RepoPath): ReleaseAnchor | null {
  try {
    return decodeRelease(bytes, place);
  } catch (error) {
    if (error instanceof DebgeoError) return null;
    throw error;
  }
}
