import { DebgeoError } from './errors.ts';
import { releaseSetPaths, type RepoPath } from './repo-path.ts';
import type { PublishedName } from './snapshot.ts';

/**
 * The steps of one publication, in this order: indices, removals, (read back,) releaseGpg, release,
 * and inRelease last.
 */
export interface PublicationOrder {
  /** To be written, where they differ. */
  readonly indices: readonly PublishedName[];
  /**
   * Canonical indices that the site has and the snapshot lacks: a stale variant of an absent index
   * breaks apt.
   */
  readonly removals: readonly RepoPath[];
  /** null: neither wanted nor there. `sha256` null: to be deleted. */
  readonly releaseGpg: PublishedName | null;
  readonly release: PublishedName | null;
  /** The switch. `sha256` null: to be deleted, last as well, so that apt goes on to Release. */
  readonly inRelease: PublishedName;
}

/**
 * The order in which the published names of a snapshot become visible. apt reads InRelease (else
 * Release) first and then what it lists, so InRelease is written after everything else; dak and
 * ftpsync keep the same order.
 *
 * @param names what the snapshot wants at every published name of the distribution; `sha256` null:
 *   listed, and absent at the archive
 * @param present published names of this distribution that the site has now, from whichever
 *   snapshot
 * @param suiteFolder `dists/bookworm`; `.` for a flat archive at its root
 * @throws RELEASE_MISSING the names hold neither InRelease nor Release: publishing them would take
 *   the distribution off the site
 * @throws HOSTILE_PATH a name outside of the suite folder
 */
export function publicationOrder(
  names: readonly PublishedName[],
  present: readonly RepoPath[],
  suiteFolder: string,
): PublicationOrder {
  const [inReleasePath, releasePath, releaseGpgPath] = releaseSetPaths(suiteFolder);
  const releaseSet = new Set<RepoPath>([inReleasePath, releasePath, releaseGpgPath]);
  const wanted = new Map(names.map((name) => [name.path, name]));
  const there = new Set(present);
  for (const path of [...wanted.keys(), ...there]) assertInside(path, suiteFolder);

  const ofReleaseSet = (path: RepoPath): PublishedName | null => {
    const name = wanted.get(path);
    if (name !== undefined && name.sha256 !== null) return name;
    return there.has(path) ? { path, sha256: null, size: 0 } : null;
  };
  const inRelease = ofReleaseSet(inReleasePath) ?? { path: inReleasePath, sha256: null, size: 0 };
  const release = ofReleaseSet(releasePath);
  if (inRelease.sha256 === null && (release === null || release.sha256 === null)) {
    throw new DebgeoError(
      'RELEASE_MISSING',
      'a snapshot without InRelease and Release cannot be published',
      {
        expected: `${inReleasePath} or ${releasePath}`,
        found: `${names.length} names without either`,
      },
    );
  }
  return {
    indices: [...wanted.values()]
      .filter((name) => name.sha256 !== null && !releaseSet.has(name.path))
      .toSorted(byPath),
    removals: [...there]
      .filter((path) => !releaseSet.has(path) && (wanted.get(path)?.sha256 ?? null) === null)
      .toSorted(),
    releaseGpg: ofReleaseSet(releaseGpgPath),
    release,
    inRelease,
  };
}

function byPath(a: PublishedName, b: PublishedName): number {
  return a.path < b.path ? -1 : a.path > b.path ? 1 : 0;
}

function assertInside(path: RepoPath, suiteFolder: string): void {
  if (suiteFolder === '.' || suiteFolder === '' || path.startsWith(`${suiteFolder}/`)) return;
  throw new DebgeoError('HOSTILE_PATH', 'a published name lies outside of its suite', {
    expected: `a path in ${suiteFolder}/`,
    found: path,
  });
}
