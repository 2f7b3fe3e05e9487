import type { Checksum } from '../src/domain/checksum.ts';
import { DebgeoError } from '../src/domain/errors.ts';
import type { RepoPath } from '../src/domain/repo-path.ts';
import type { SiteStore } from '../src/site/site-store.ts';

/** Reads all bytes of one version of a blob and hashes them. Null: there is no blob. */
export async function readBack(
  store: SiteStore,
  place: RepoPath,
  signal: AbortSignal,
): Promise<Checksum | null> {
  const found = await store.checksum(place, signal);
  if (found === 'changed')
    throw new DebgeoError(
      'SITE_REFUSED',
      `${place} was read without a condition and answered as if with one`,
    );
  return found;
}
