/**
 * R of releases that the site keeps no more: deleted before the blobs that only R named, so that no
 * R names what is not there.
 */
import {
  bookReleaseGone,
  bookReleaseHeld,
  listUnneededReleases,
} from '../../src/database/anchors/site-heads.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { RepoPath } from '../../src/domain/repo-path.ts';
import { releasePath } from '../../src/site-format/paths.ts';
import type { SiteStore } from '../../src/site/site-store.ts';
import { inParallel } from '../in-parallel.ts';
import { readBack } from '../read-back.ts';
import type { Claimant } from '../site-claim.ts';

/**
 * Given twice, or killed anywhere: what is gone is gone. What the site refuses to delete holds up
 * nothing, and is asked for again a day later.
 * @param confirm asked before each batch
 */
export async function removeReleases(
  { database, store, siteId, signal }: Claimant,
  confirm: () => Promise<void>,
): Promise<void> {
  for (;;) {
    const batch = await listUnneededReleases(database.read, siteId, LIMITS.batchFiles);
    if (batch.length === 0) return;
    await confirm();
    await inParallel(batch, LIMITS.laneConcurrency, signal, async (release, either) => {
      const place = releasePath(release, release.digest);
      if (await removeRelease(store, place, release.etag, either))
        await bookReleaseGone(database.read, release.id);
      else await bookReleaseHeld(database.read, release.id);
    });
  }
}

/**
 * Whatever stands under the name of an R is that R, or rotten: it goes in any case.
 * @returns false: the site keeps it (a lease, an immutability policy)
 */
async function removeRelease(
  store: SiteStore,
  place: RepoPath,
  booked: string | null,
  signal: AbortSignal,
): Promise<boolean> {
  let etag = booked;
  try {
    for (let conflicts = 0; conflicts <= LIMITS.conflictsMax; conflicts += 1) {
      if (etag !== null && (await store.remove(place, etag, signal)) === 'gone') return true;
      etag = (await readBack(store, place, signal))?.etag ?? null;
      if (etag === null) return true;
    }
  } catch (error) {
    if (!(error instanceof DebgeoError && error.code === 'SITE_REFUSED')) throw error;
  }
  return false;
}
