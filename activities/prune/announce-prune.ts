/**
 * Each H says how often files were deleted at the site. A database that is restored to before a
 * deletion believes what is gone to be there, verified; it learns by H that it may not.
 */
import type { BookedHead } from '../../src/database/anchors/heads.ts';
import { readSiteClaim } from '../../src/database/anchors/site-anchors.ts';
import {
  bookHeadAgain,
  countPrune,
  listHeads,
  type HeadOfSite,
} from '../../src/database/anchors/site-heads.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { encodeHead } from '../../src/site-format/anchors.ts';
import { headPath } from '../../src/site-format/paths.ts';
import { putAnchor } from '../anchors.ts';
import { inParallel } from '../in-parallel.ts';
import { readHeadAt } from '../judge-site.ts';
import type { Claimant } from '../site-claim.ts';

/**
 * Before the first deletion of a slice. Given twice, or killed anywhere: counts once more.
 * @throws SITE_TAKEN, SITE_AHEAD, SITE_BEHIND, ANCHOR_UNREADABLE nothing may be deleted
 */
export async function announcePrune(site: Claimant): Promise<void> {
  const { database, siteId, signal } = site;
  const pruned = await countPrune(database.read, siteId);
  const heads = await listHeads(database.read, siteId);
  await inParallel(heads, LIMITS.laneConcurrency, signal, async ({ head, ...at }) => {
    if (head !== null) await writeAgain(site, { ...at, head }, pruned);
  });
}

type WrittenHead = HeadOfSite & { readonly head: BookedHead };

/** A lane that publishes meanwhile names its own release: that one stays. */
async function writeAgain(site: Claimant, at: WrittenHead, pruned: number): Promise<void> {
  const { database, store, siteId, signal } = site;
  const { distributionId, head } = at;
  const place = headPath(at);
  for (let conflicts = 0; conflicts <= LIMITS.conflictsMax; conflicts += 1) {
    const lane = { database, store, siteId, distributionId, signal, place, head };
    const { found } = await readHeadAt(lane);
    if (found === null) return;
    const { deployment } = await readSiteClaim(database.read, siteId);
    const { release, previous } = found;
    const wanted = encodeHead({ deployment, release, previous, pruned });
    const written = await putAnchor(store, place, wanted, { etag: found.etag }, signal);
    if (written === 'conflict') continue;
    // If we die here, or a lane has published meanwhile, H is read where its ETag is compared.
    if (release === head.release) await bookHeadAgain(database.read, siteId, at, written.etag);
    return;
  }
  throw new DebgeoError('FOREIGN_WRITE', `${place} keeps changing at the site`, {
    state: 'nothing was deleted',
  });
}
