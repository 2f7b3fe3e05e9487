import { rehearse } from '../../src/database/adopt/rehearse.ts';
import { newestFor, saveAdopted } from '../../src/database/adopt/save-adopted.ts';
import type { DistributionRecord } from '../../src/database/catalog/distributions.ts';
import { membersOf } from '../../src/database/catalog/save-snapshot.ts';
import { readSnapshot } from '../../src/database/catalog/snapshots.ts';
import type { Database } from '../../src/database/orm.ts';
import type { Deployment } from '../../src/domain/deployment.ts';
import { DebgeoError, type ErrorReport } from '../../src/domain/errors.ts';
import { suiteFolder } from '../../src/domain/release.ts';
import type { RepoPath } from '../../src/domain/repo-path.ts';
import { encodeHead, type Encoded, type HeadAnchor } from '../../src/site-format/anchors.ts';
import { decodeHead } from '../../src/site-format/decode.ts';
import { headPath } from '../../src/site-format/paths.ts';
import { readAnchor, type FoundAnchor } from '../anchors.ts';
import type { Capture } from '../capture/capture.ts';
import { assertTakeable, type Adopter } from './adopter.ts';
import { placeOf, readReleases, readShown } from './read-releases.ts';

export interface AdoptedSuite {
  /** In the order in which they were published there. */
  readonly releases: readonly AdoptedGeneration[];
  /** What the site serves; 0: nothing is visible. */
  readonly served: number;
  /** The archive's newest release, which every site shall serve. */
  readonly newest: number;
  /** Why what was published before them is not adopted; null: there is no more. */
  readonly left: ErrorReport | null;
  /** H, to be written once the rows are there. */
  readonly head: HeadToWrite;
}

export interface AdoptedGeneration {
  readonly generation: number;
  readonly date: Date | null;
  /** Indices by hash, and pool files. */
  readonly files: number;
  readonly bytes: number;
}

interface HeadToWrite {
  readonly place: RepoPath;
  readonly found: FoundAnchor;
  /** R that it names. */
  readonly release: { readonly release: HeadAnchor['release']; readonly releaseEtag: string };
  encode(deployment: Deployment): Encoded;
}

/**
 * Reads what the site has of a suite, and writes the rows.
 * @returns null: there is no H, and nothing is visible: nothing was published there
 * @throws ADOPT_REFUSED, RELEASE_ROLLBACK, SITE_TAKEN, ANCHOR_UNREADABLE
 * @throws SIGNATURE_*, RELEASE_*, INDEX_*, … the visible release is not one of the archive
 */
export async function adoptSuite(
  adopter: Adopter,
  record: DistributionRecord,
): Promise<AdoptedSuite | null> {
  const { deps, store, signal, dryRun } = adopter;
  const place = headPath({ mount: record.archive.mount, suite: record.suite });
  const found = await readAnchor(store, place, signal);
  const capture = await captureOf(adopter, record, deps.database);
  const shown = await readShown(capture, store);
  if (found === null && shown === null) return null;
  if (found === null)
    throw new DebgeoError('ADOPT_REFUSED', `there is no ${place}`, {
      expected: `an object that vouches for ${shown!.path}`,
      found: 'nothing',
      state: 'nothing of it was adopted',
    });
  const head = decodeHead(found.bytes, place);
  await assertTakeable(adopter, head.deployment, place);
  await newestFor(deps.database.read, record, { releases: [], visible: null });
  const adopt = async (database: Database): Promise<AdoptedSuite> => {
    const read = await readReleases(
      await captureOf(adopter, record, database),
      store,
      head.release,
    );
    const { releases, left } = read;
    const visible = shown === null ? null : { shown, place: placeOf(releases, shown) };
    if (visible?.place === -1 || releases.length === 0) throw refusalOf(place, head, left, shown);
    const { pruned } = head;
    const adoption = { site: adopter.site, record, releases, visible, pruned };
    const { generations, served, top } = await saveAdopted(database, adoption);
    const named = visible === null ? releases.at(-1)! : releases[visible.place]!;
    return {
      releases: releases.map(({ snapshot }, index) => {
        const { count: files, bytes } = membersOf(snapshot).files;
        return { generation: generations[index]!, date: snapshot.date, files, bytes };
      }),
      served,
      newest: top,
      left,
      head: {
        place,
        found,
        release: { release: named.digest, releaseEtag: named.etag },
        encode: (deployment) =>
          encodeHead({ ...head, deployment, release: named.digest, previous: named.previous }),
      },
    };
  };
  return dryRun ? rehearse(deps.database, adopt) : adopt(deps.database);
}

async function captureOf(
  { deps, signal }: Adopter,
  record: DistributionRecord,
  database: Database,
): Promise<Capture> {
  return {
    deps: { ...deps, database },
    record,
    newest: await readSnapshot(database.read, record.id, record.latestGeneration),
    olderAcceptance: null,
    archive: await deps.archiveOf(record.archive),
    folder: suiteFolder(record.suite),
    signal,
    counts: { listed: 0, fetched: 0, read: 0, poolFiles: 0 },
  };
}

/** Nothing that may be believed says what is visible. */
function refusalOf(
  place: RepoPath,
  { release }: HeadAnchor,
  left: ErrorReport | null,
  shown: { readonly path: RepoPath; readonly sha256: string } | null,
): DebgeoError {
  const state = 'nothing of it was adopted';
  if (left !== null) return DebgeoError.of({ ...left, state });
  return new DebgeoError(
    'ADOPT_REFUSED',
    shown === null
      ? `${place} names a release that is not there`
      : `${shown.path} at the site is none of the releases that ${place} leads to`,
    {
      expected: `release ${release}, or one before it`,
      ...(shown === null ? {} : { found: `SHA-256 ${shown.sha256}` }),
      state,
    },
  );
}
