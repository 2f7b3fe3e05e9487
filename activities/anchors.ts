/**
 * The objects below `.debgeo/` of a site as activities read, write and judge them. What they say
 * stops the activity at that site, and does nothing else: it causes no deletion, never becomes the
 * catalog's newest, and reaches no other site.
 */
import type { BookedHead, HeadFacts } from '../src/database/anchors/heads.ts';
import type { Deployment } from '../src/domain/deployment.ts';
import { DebgeoError } from '../src/domain/errors.ts';
import { LIMITS } from '../src/domain/limits.ts';
import type { RepoPath } from '../src/domain/repo-path.ts';
import type { Encoded, HeadAnchor } from '../src/site-format/anchors.ts';
import { unreadable } from '../src/site-format/decode.ts';
import type { Expected, SiteStore, Written } from '../src/site/site-store.ts';
import { once } from './once.ts';

const UNCHANGED = 'no published name was changed there, and nothing deleted';

export interface FoundAnchor {
  readonly etag: string;
  readonly bytes: Uint8Array;
}

/** Null: there is none. @throws ANCHOR_UNREADABLE it is too long to be one */
export async function readAnchor(
  store: SiteStore,
  place: RepoPath,
  signal: AbortSignal,
): Promise<FoundAnchor | null> {
  const found = await store.open(place, signal);
  if (found === null) return null;
  if (found.size > LIMITS.anchorBytes)
    throw unreadable(place, `at most ${LIMITS.anchorBytes} bytes`, `${found.size} bytes`);
  return { etag: found.etag, bytes: Buffer.concat(await Array.fromAsync(found.bytes)) };
}

export const putAnchor = (
  store: SiteStore,
  place: RepoPath,
  { bytes, sha256 }: Encoded,
  expected: Expected,
  signal: AbortSignal,
): Promise<Written | 'conflict'> =>
  store.put(
    place,
    {
      bytes: once(bytes),
      size: bytes.length,
      sha256,
      contentType: 'application/json',
      cacheControl: 'no-cache',
    },
    expected,
    signal,
  );

/** @throws SITE_TAKEN another deployment wrote it, or this one, restored once more since */
export function assertOurs(found: Deployment, ours: Deployment, place: RepoPath): void {
  if (found.id === ours.id && found.epoch <= ours.epoch) return;
  const isRestored = found.id === ours.id;
  throw new DebgeoError(
    'SITE_TAKEN',
    isRestored
      ? 'the site was written to by this database after it was restored, and it is older again'
      : 'another deployment of debgeo has claimed the site',
    {
      expected: `${nameOf(ours)} in ${place}`,
      found: nameOf(found),
      state: UNCHANGED,
    },
  );
}

const nameOf = ({ id, epoch }: Deployment): string =>
  `deployment ${id}${epoch === 0 ? '' : `, restored ${epoch} times`}`;

/**
 * Judges H as it was found: fine where this database wrote it, now or after the booked one, or
 * where it is known to have lost what H names.
 * @param head as booked
 * @param found null: there is none
 * @throws SITE_TAKEN, SITE_AHEAD, SITE_BEHIND, ANCHOR_UNREADABLE
 */
export function judgeHead(
  place: RepoPath,
  head: BookedHead | null,
  { deployment, prunes, lost, rank }: HeadFacts & { readonly rank: number | null },
  found: HeadAnchor | null,
): void {
  const expected = head === null ? 'no release that is unknown' : `release ${head.release}`;
  if (found === null) {
    if (head === null && lost === null) return;
    const facts = { expected, state: UNCHANGED };
    throw new DebgeoError('SITE_BEHIND', `${place} is gone from the site`, facts);
  }
  assertOurs(found.deployment, deployment, place);
  if (found.pruned > prunes + LIMITS.prunesLost)
    throw unreadable(place, `prunes up to ${prunes}`, `${found.pruned}`);
  if (found.release !== lost && rank === null)
    throw ahead(
      'the site has a release that is unknown here',
      expected,
      `release ${found.release}`,
    );
  if (found.pruned > prunes)
    throw ahead('files were deleted at the site', `${prunes} prunes`, `${found.pruned}`);
  if (rank !== null && head !== null && rank < head.releaseId)
    throw new DebgeoError('SITE_BEHIND', 'the site is older than it was', {
      expected,
      found: `release ${found.release}`,
      state: UNCHANGED,
    });
}

const ahead = (message: string, expected: string, found: string): DebgeoError =>
  new DebgeoError('SITE_AHEAD', `${message}: the database was restored from an older backup`, {
    expected,
    found,
    state: UNCHANGED,
  });
