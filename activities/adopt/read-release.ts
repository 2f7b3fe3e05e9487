/**
 * One release of a site, judged as a release of an archive is: R under its own name, a signature of
 * a pinned key, each index as Release lists it. Whoever may write to the site has chosen the bytes.
 */
import { verifyOnce } from '../../src/archive/verify-signature.ts';
import type { AdoptedRelease } from '../../src/database/adopt/save-adopted.ts';
import { KeptContents } from '../../src/database/catalog/index-contents.ts';
import { indexDigestsOf, isSameReleaseSet } from '../../src/database/catalog/snapshots.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import { judgeFreshness } from '../../src/domain/freshness.ts';
import { joinPath } from '../../src/domain/repo-path.ts';
import { selectEntries } from '../../src/domain/select-entries.ts';
import { sha256Of, type Sha256 } from '../../src/domain/sha256.ts';
import type { Snapshot } from '../../src/domain/snapshot.ts';
import type { ReleaseAnchor } from '../../src/site-format/anchors.ts';
import { decodeRelease, unreadable } from '../../src/site-format/decode.ts';
import { releasePath } from '../../src/site-format/paths.ts';
import type { SiteStore } from '../../src/site/site-store.ts';
import { readAnchor } from '../anchors.ts';
import type { AcceptedRelease, Capture } from '../capture/capture.ts';
import { fetchIndices } from '../capture/fetch-indices.ts';
import { readPoolFiles } from '../capture/read-pool-files.ts';
import { SiteArchive } from './site-archive.ts';

export interface ReadRelease extends AdoptedRelease {
  readonly previous: Sha256 | null;
}

/**
 * Null: there is no such R any more, it was pruned.
 * @param capture of the distribution; `archive` is that which released
 * @throws ANCHOR_UNREADABLE, SIGNATURE_*, RELEASE_*, SELECTION_UNKNOWN, INDEX_*, HOSTILE_PATH,
 *   LIMIT_EXCEEDED, PATH_AMBIGUOUS it is not what the archive released
 * @throws SITE_*, ARCHIVE_* what could not be asked
 */
export async function readRelease(
  capture: Capture,
  store: SiteStore,
  digest: Sha256,
): Promise<ReadRelease | null> {
  const { archive, suite } = capture.record;
  const place = releasePath({ mount: archive.mount, suite }, digest);
  const found = await readAnchor(store, place, capture.signal);
  if (found === null) return null;
  if (sha256Of(found.bytes) !== digest)
    throw unreadable(place, `SHA-256 ${digest}`, `SHA-256 ${sha256Of(found.bytes)}`);
  const anchor = decodeRelease(found.bytes, place);
  if (anchor.mount !== archive.mount || anchor.suite !== suite)
    throw unreadable(
      place,
      `${suite} below ${archive.mount}`,
      `${anchor.suite} below ${anchor.mount}`,
    );
  const snapshot = await readSnapshotOf(
    {
      ...capture,
      archive: new SiteArchive(store, archive.mount, anchor.releaseSet, capture.archive),
    },
    anchor,
  );
  return { digest, etag: found.etag, previous: anchor.previous, snapshot };
}

async function readSnapshotOf(capture: Capture, anchor: ReleaseAnchor): Promise<Snapshot> {
  const { record, folder, newest, deps } = capture;
  const { releaseSet } = anchor;
  const { body, signers, good, taken, release } = await verifyOnce(
    releaseSet,
    record.archive.keyring,
  );
  if (!isSameReleaseSet(taken, releaseSet))
    throw new DebgeoError('SIGNATURE_INVALID', 'Release or Release.gpg does not match InRelease');
  judgeFreshness(release, null, release.date ?? new Date(), record);
  const entries = selectEntries(release, anchor.selection).map((entry) => ({
    path: joinPath(folder, entry.path),
    entry,
  }));
  const accepted: AcceptedRelease = {
    fetched: releaseSet,
    releaseSet,
    signers,
    signatures: good,
    bodySha256: sha256Of(body),
    release,
    entries,
  };
  const missing = new Set(anchor.absent);
  const present = { ...accepted, entries: entries.filter(({ path }) => !missing.has(path)) };
  const before = newest && (await indexDigestsOf(deps.database.read, record.id, newest.generation));
  await using kept = new KeptContents();
  const { indices, absent } = await fetchIndices(capture, present, before ?? new Map(), kept);
  if (absent.length > 0)
    throw new DebgeoError('INDEX_MISSING', `neither the site nor the archive has ${absent[0]}`);
  return {
    releaseSet,
    bodySha256: accepted.bodySha256,
    date: release.date,
    validUntil: release.validUntil,
    signers,
    untorn: release.acquireByHash && releaseSet.inRelease !== null,
    indices,
    absent: entries.map(({ path }) => path).filter((path) => missing.has(path)),
    poolFiles: await readPoolFiles(capture, accepted, indices, kept),
  };
}
