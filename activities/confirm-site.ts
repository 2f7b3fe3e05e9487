/**
 * Whether the site is as this database believes: prune asks before it marks anything, and before
 * each batch that it deletes, a scrub before each slice. A database that was restored from an older
 * backup knows no better what the site serves; its objects below `.debgeo/` do.
 */
import { rankOf } from '../src/database/anchors/heads.ts';
import { readSiteClaim } from '../src/database/anchors/site-anchors.ts';
import { listHeads, type HeadOfSite } from '../src/database/anchors/site-heads.ts';
import type { Deployment } from '../src/domain/deployment.ts';
import { LIMITS } from '../src/domain/limits.ts';
import { decodeHead } from '../src/site-format/decode.ts';
import { headPath } from '../src/site-format/paths.ts';
import { judgeHead, readAnchor } from './anchors.ts';
import { inParallel } from './in-parallel.ts';
import { claimSite, confirmClaim, type Claimant } from './site-claim.ts';

/**
 * One small request for S and one for each H, bound to the ETags that are booked. A site that no
 * chain has claimed yet is claimed here.
 * @throws SITE_TAKEN, SITE_AHEAD, SITE_BEHIND, ANCHOR_UNREADABLE nothing may be deleted
 */
export async function confirmSite(site: Claimant): Promise<void> {
  const { database, siteId, signal } = site;
  const { deployment, etag, hasWritten } = await readSiteClaim(database.read, siteId);
  if (etag !== null) await confirmClaim(site, deployment, etag);
  // where nothing was written there is nothing to delete
  else if (hasWritten) await claimSite(site, []);
  else return;
  const heads = await listHeads(database.read, siteId);
  await inParallel(heads, LIMITS.laneConcurrency, signal, (head) =>
    confirmHead(site, deployment, head),
  );
}

async function confirmHead(
  { database, store, siteId, signal }: Claimant,
  deployment: Deployment,
  { distributionId, head, ...at }: HeadOfSite,
): Promise<void> {
  const place = headPath(at);
  if (head !== null) {
    const known = await store.checksum(place, signal, head.etag);
    if (known !== null && known !== 'changed') return;
  }
  const found = await readAnchor(store, place, signal);
  const named = found === null ? null : decodeHead(found.bytes, place);
  const lane = { siteId, distributionId };
  const rank = named === null ? null : await rankOf(database.read, lane, named.release);
  judgeHead(place, { deployment, head }, named, rank);
}
