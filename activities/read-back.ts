import type { Checksum } from '../src/domain/checksum.ts';
import { DebgeoError } from '../src/domain/errors.ts';
import type { RepoPath } from '../src/domain/repo-path.ts';
import type { SiteStore } from '../src/site/site-store.ts';

/** All bytes that stand at a path, of one version. */
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
