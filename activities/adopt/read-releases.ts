/** The releases that a site has of a suite: along `previous` from what H names. */
import type { Shown } from '../../src/database/adopt/adopt-rows.ts';
import { DebgeoError, type ErrorReport } from '../../src/domain/errors.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { releaseSetPaths, sitePath } from '../../src/domain/repo-path.ts';
import { sha256Of, type Sha256 } from '../../src/domain/sha256.ts';
import type { ReleaseSet, Snapshot } from '../../src/domain/snapshot.ts';
import type { SiteStore } from '../../src/site/site-store.ts';
import type { Capture } from '../capture/capture.ts';
import { readBack } from '../read-back.ts';
import { readRelease, type ReadRelease } from './read-release.ts';

export interface ReadReleases {
  /** In the order in which they were published. */
  readonly releases: readonly ReadRelease[];
  /** Why what was published before them is not adopted; null: there is no more. */
  readonly left: ErrorReport | null;
}

/**
 * Ends where R was pruned, is not what the archive released, or where it is enough.
 * @param from what H names
 * @throws SITE_*, ARCHIVE_*, DATABASE_* what could not be asked: nothing is known then
 */
export async function readReleases(
  capture: Capture,
  store: SiteStore,
  from: Sha256,
): Promise<ReadReleases> {
  const releases: ReadRelease[] = [];
  let files = 0;
  let left: ErrorReport | null = null;
  for (let digest: Sha256 | null = from; digest !== null && left === null;) {
    const read = await readOne(capture, store, digest);
    if (read === null) break;
    if ('code' in read) left = read;
    else if ((files += filesOf(read.snapshot)) > LIMITS.snapshotBlobs)
      left = tooMany(`at most ${LIMITS.snapshotBlobs} files together`);
    else if (releases.length >= LIMITS.adoptedReleases)
      left = tooMany(`at most ${LIMITS.adoptedReleases} releases`);
    else {
      releases.unshift(read);
      digest = read.previous;
    }
  }
  return { releases, left };
}

/** What cannot be asked is no fault of the release. */
const isOutside = ({ code }: DebgeoError): boolean => /^(?:SITE|ARCHIVE|DATABASE|DISK)_/.test(code);

async function readOne(
  capture: Capture,
  store: SiteStore,
  digest: Sha256,
): Promise<ReadRelease | ErrorReport | null> {
  try {
    return await readRelease(capture, store, digest);
  } catch (error) {
    if (!(error instanceof DebgeoError) || isOutside(error)) throw error;
    const { message, ...report } = error.report;
    return { ...report, message: `release ${digest} of the site: ${message}` };
  }
}

const tooMany = (expected: string): ErrorReport =>
  new DebgeoError('LIMIT_EXCEEDED', 'the site has more releases than are adopted', { expected })
    .report;

const filesOf = ({ indices, poolFiles }: Snapshot): number =>
  poolFiles.size + indices.reduce((sum, { byHashPaths }) => sum + byHashPaths.length, 0);

/** What apt would read first at the site; null: nothing is visible. */
export async function readShown(
  { record, folder, signal }: Capture,
  store: SiteStore,
): Promise<Shown | null> {
  const [inRelease, release] = releaseSetPaths(folder);
  for (const path of [inRelease, release]) {
    const found = await readBack(store, sitePath(record.archive.mount, path), signal);
    if (found !== null) return { ...found, path };
  }
  return null;
}

/** Which of the releases is visible, the last of those that show alike; -1: none. */
export const placeOf = (
  releases: readonly { readonly snapshot: Snapshot }[],
  shown: Shown,
): number => releases.findLastIndex(({ snapshot }) => shownBy(snapshot.releaseSet, shown));

function shownBy({ inRelease, release }: ReleaseSet, shown: Shown): boolean {
  const isInRelease = /(?:^|\/)InRelease$/.test(shown.path);
  if (!isInRelease && inRelease !== null) return false;
  const file = isInRelease ? inRelease : release;
  return file !== null && sha256Of(file) === shown.sha256;
}
