/** The order in which a Release set is asked for, the same for every kind of archive. */
import { DebgeoError } from '../domain/errors.ts';
import { joinPath, type RepoPath } from '../domain/repo-path.ts';
import type { ReleaseSet, Validator } from '../domain/snapshot.ts';
import { unreachable } from './archive-error.ts';

interface FetchedFile {
  readonly bytes: Uint8Array;
  readonly validator: Validator;
}
/**
 * One file, whole; null where the archive does not have it, `unchanged` only where a validator was
 * given.
 */
type FetchFile = (
  path: RepoPath,
  validator: Validator | null,
  signal: AbortSignal,
) => Promise<'unchanged' | FetchedFile | null>;

/** The Debian registry of a project or a group (GitLab, doc/api/packages/debian.md). */
export const hintOf = (root: URL): string | null =>
  /\/api\/v4\/(?:projects\/[^/]+|groups\/[^/]+\/-)\/packages\/debian\/?$/.test(root.pathname)
    ? 'GitLab says so, too, to a login that may not read it, and where its registry is off'
    : null;

interface Wanted {
  /** The root of the archive as it may be printed. */
  readonly root: string;
  readonly suiteFolder: string;
  readonly validator: Validator | null;
  readonly fetchMs: number;
  /** What it may mean besides that a file is absent. */
  readonly absent?: string | null;
}

/** What Archive promises of fetchReleaseSet, for an archive that can fetch one file. */
export async function fetchReleaseSet(
  fetch: FetchFile,
  wanted: Wanted,
  signal: AbortSignal,
): Promise<'unchanged' | { releaseSet: ReleaseSet; validator: Validator }> {
  const deadline = AbortSignal.timeout(wanted.fetchMs);
  try {
    return await fetchInOrder(fetch, wanted, AbortSignal.any([signal, deadline]));
  } catch (error) {
    if (!deadline.aborted || signal.aborted) throw error;
    throw unreachable(
      `${wanted.root}/${wanted.suiteFolder}`,
      `no Release set within ${wanted.fetchMs} ms`,
      error,
    );
  }
}

/**
 * The validator does not say whether it is of InRelease or of Release. Where InRelease has come or
 * gone since, the other file has another ETag or time; should both have the same time and no ETag,
 * the next unconditional look sees the change.
 */
async function fetchInOrder(
  fetch: FetchFile,
  { root, suiteFolder, validator, absent }: Wanted,
  signal: AbortSignal,
) {
  const inRelease = await fetch(joinPath(suiteFolder, 'InRelease'), validator, signal);
  if (inRelease === 'unchanged') return inRelease;
  const release = await fetch(
    joinPath(suiteFolder, 'Release'),
    inRelease === null ? validator : null,
    signal,
  );
  if (release === 'unchanged') return release;

  const decisive = inRelease ?? release;
  if (decisive === null) {
    throw new DebgeoError('RELEASE_MISSING', `${root} has no Release set in ${suiteFolder}`, {
      expected: joinPath(suiteFolder, 'InRelease'),
      found: ['no such file', ...(absent ? [absent] : [])],
    });
  }
  const releaseGpg =
    release === null ? null : await fetch(joinPath(suiteFolder, 'Release.gpg'), null, signal);
  return {
    releaseSet: {
      inRelease: inRelease?.bytes ?? null,
      release: release?.bytes ?? null,
      releaseGpg: releaseGpg === 'unchanged' ? null : (releaseGpg?.bytes ?? null),
    },
    validator: decisive.validator,
  };
}
