/**
 * Whether the site is as this database believes: prune asks before it marks anything, and before
 * each batch that it deletes, a scrub before each slice. A database that was restored from an older
 * backup knows no better what the site serves; its objects below `.debgeo/` do.
 */
import { bookBehind } from '../src/database/anchors/distrust.ts';
import { readSiteClaim } from '../src/database/anchors/site-anchors.ts';
import { listHeads, type HeadOfSite } from '../src/database/anchors/site-heads.ts';
import { DebgeoError } from '../src/domain/errors.ts';
import { LIMITS } from '../src/domain/limits.ts';
import { headPath, type SuiteAt } from '../src/site-format/paths.ts';
import { inParallel } from './in-parallel.ts';
import { readHeadAt } from './judge-site.ts';
import { claimSite, confirmClaim, type Claimant } from './site-claim.ts';

/**
 * One small request for S and one for each H, bound to the ETags that are booked. A site that no
 * chain has claimed yet is claimed here.
 * @returns a suite that S names and this database does not know there, or one that it does not
 *   replicate there any more, and of which it has lost a release
 * @throws SITE_AHEAD, SITE_BEHIND nothing at the site is believed from here on
 * @throws SITE_TAKEN, ANCHOR_UNREADABLE
 */
export async function confirmSite(site: Claimant): Promise<SuiteAt | undefined> {
  try {
    return await confirm(site);
  } catch (error) {
    if (error instanceof DebgeoError && error.code === 'SITE_BEHIND')
      await bookBehind(site.database, site.siteId, error.report);
    throw error;
  }
}

async function confirm(site: Claimant): Promise<SuiteAt | undefined> {
  const { database, siteId, signal } = site;
  const { etag, hasWritten } = await readSiteClaim(database.read, siteId);
  if (etag === null && !hasWritten) return undefined;
  const unknown = await (etag === null ? claimSite(site, []) : confirmClaim(site, etag));
  const heads = await listHeads(database.read, siteId);
  let lost: SuiteAt | undefined;
  await inParallel(heads, LIMITS.laneConcurrency, signal, async (head) => {
    if (!(await isKnown(site, head))) lost = head;
  });
  return unknown ?? lost;
}

/**
 * As confirmSite; and this database knows all that the site serves, and served within its grace.
 * @throws SITE_AHEAD, SITE_BEHIND also where it does not: nothing may be deleted or repaired
 */
export async function confirmKnown(site: Claimant): Promise<void> {
  const unknown = await confirmSite(site);
  // behind the questions: what another step has booked meanwhile counts
  const heads = await listHeads(site.database.read, site.siteId);
  const lost = unknown ?? heads.find(({ isLost }) => isLost);
  const spared = lost ?? heads.find(({ isSpared }) => isSpared);
  if (spared === undefined) return;
  const at = `${spared.suite} below ${spared.mount}`;
  const state = 'nothing is deleted or repaired there until then';
  if (unknown !== undefined)
    throw new DebgeoError('SITE_AHEAD', `the site has ${at}, which is unknown here`, {
      expected: 'a distribution of that suite in the configuration',
      state,
    });
  if (lost !== undefined)
    throw new DebgeoError('SITE_AHEAD', `the site shows a release of ${at} that is lost here`, {
      expected: 'a release of the archive that is published over it, and its grace over',
      state,
    });
  throw new DebgeoError('SITE_BEHIND', `clients may read another release of ${at} than is known`, {
    expected: 'everything there read back, and the grace of what it showed over',
    state,
  });
}

/** No lane can lead forward what is not replicated there: others go on, and nothing is deleted. */
async function isKnown(site: Claimant, head: HeadOfSite): Promise<boolean> {
  try {
    await confirmHead(site, head);
    return true;
  } catch (error) {
    const isAhead = error instanceof DebgeoError && error.code === 'SITE_AHEAD';
    if (!isAhead || head.isReplicated) throw error;
    return false;
  }
}

async function confirmHead(
  { database, store, siteId, signal }: Claimant,
  { distributionId, head, ...at }: HeadOfSite,
): Promise<void> {
  const place = headPath(at);
  if (head !== null) {
    const known = await store.checksum(place, signal, head.etag);
    if (known !== null && known !== 'changed') return;
  }
  await readHeadAt({ database, store, siteId, distributionId, signal, place, head });
}
