/**
 * Where the objects of debgeo are at a site: below `.debgeo/`, which is no mount (domain/place.ts),
 * so that no name of a Release leads there.
 */
import { LIMITS } from '../domain/limits.ts';
import { parseRepoPath, type RepoPath } from '../domain/repo-path.ts';
import { sha256Of, type Sha256 } from '../domain/sha256.ts';

/** A suite of an archive at a site; `suite` as configured: `bookworm`, or `/` of a flat archive. */
export interface SuiteAt {
  readonly mount: string;
  readonly suite: string;
}

/** S: whose the site is. */
export const SITE_PATH = parseRepoPath('.debgeo/site.json');

/** R: one release, named by the SHA-256 of the object. */
export const releasePath = ({ mount, suite }: SuiteAt, digest: Sha256): RepoPath =>
  parseRepoPath(`.debgeo/releases/${segmentOf(mount)}/${segmentOf(suite)}/${digest}.json`);

/** H: the release that may be visible. */
export const headPath = ({ mount, suite }: SuiteAt): RepoPath =>
  parseRepoPath(`.debgeo/heads/${segmentOf(mount)}/${segmentOf(suite)}.json`);

/**
 * One segment for any text, and another one for every other: what is no letter, digit, `-` or `_`
 * is `=` and two hex digits for each byte of UTF-8. `%` would be decoded on the way, and a segment
 * that ends in a dot is another one to Azure. A long one is named by its digest.
 */
export function segmentOf(text: string): string {
  const segment = text.replace(/[^\w-]+/gu, (rest) =>
    [...Buffer.from(rest)].map((byte) => `=${byte.toString(16).padStart(2, '0')}`).join(''),
  );
  return segment.length <= LIMITS.anchorSegment
    ? segment
    : `=sha256-${sha256Of(Buffer.from(text))}`;
}
