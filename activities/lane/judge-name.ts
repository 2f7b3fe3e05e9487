import type { RecordedName, SettledName } from '../../src/database/publications/names.ts';
import type { Checksum } from '../../src/domain/checksum.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import type { PublishedName } from '../../src/domain/snapshot.ts';
import type { Expected } from '../../src/site/site-store.ts';

export type NameVerdict =
  | { readonly is: 'right' }
  /**
   * `expected` is the condition of the write; `corrupt`: what we wrote there is gone or has other
   * bytes now.
   */
  | { readonly is: 'to write'; readonly expected: Expected; readonly corrupt: boolean };

/**
 * What is to be done about a published name, given what the snapshot wants there, what we left
 * there and what stands there.
 *
 * Bytes that we did not leave and do not want, under an ETag that we did not get, are another
 * writer's and stay. A name with no bytes at all was lost, and is written again with If-None-Match.
 * Our ETag with other bytes is rot inside the site's storage.
 * @throws FOREIGN_WRITE
 */
export function judgeName(
  wanted: PublishedName,
  recorded: RecordedName,
  seen: Checksum | null,
): NameVerdict {
  if ((seen?.sha256 ?? null) === wanted.sha256) return { is: 'right' };
  if (seen === null)
    return { is: 'to write', expected: 'nothing', corrupt: recorded.sha256 !== null };
  const isWhatWeLeft = seen.sha256 === recorded.sha256;
  if (isWhatWeLeft || seen.etag === recorded.etag)
    return { is: 'to write', expected: { etag: seen.etag }, corrupt: !isWhatWeLeft };
  throw new DebgeoError('FOREIGN_WRITE', `another program wrote to ${wanted.path}`, {
    expected: recorded.sha256 === null ? 'nothing' : `${recorded.sha256}, ETag ${recorded.etag}`,
    found: `${seen.sha256}, ETag ${seen.etag}`,
    state: 'these bytes were left as they are; delete them if they are not needed',
  });
}

export const isForeign = (error: unknown): boolean =>
  error instanceof DebgeoError && error.code === 'FOREIGN_WRITE';

/**
 * The wanted bytes are there under an ETag that no row has, and Last-Modified did not grow: apt,
 * which asks with If-Modified-Since, may stay on the release before.
 * @param after the Last-Modified that must grow; null: it need not
 */
export const isHidden = (
  seen: Checksum | null,
  before: RecordedName,
  after: number | null,
): boolean =>
  seen !== null && after !== null && seen.etag !== before.etag && seen.lastModified <= after;

/** Of a deleted InRelease the time is kept: the next InRelease must be newer. */
export const settledOf = (
  { path }: PublishedName,
  seen: Checksum | null,
  lastModified: number | null,
): SettledName => ({
  path,
  sha256: seen?.sha256 ?? null,
  etag: seen?.etag ?? null,
  lastModified: seen?.lastModified ?? lastModified,
});
