import { readSiteClaim } from '../src/database/anchors/site-anchors.ts';
import { listHeads } from '../src/database/anchors/site-heads.ts';
import { DebgeoError } from '../src/domain/errors.ts';
import { LIMITS } from '../src/domain/limits.ts';
import type { RepoPath } from '../src/domain/repo-path.ts';
import { decodeHead, decodeSite } from '../src/site-format/decode.ts';
import { headPath, SITE_PATH } from '../src/site-format/paths.ts';
import { assertOurs, readAnchor } from './anchors.ts';
import type { Claimant } from './site-claim.ts';

/**
 * Deletes H of every distribution, and S last, where they are ours; R and all that clients read
 * stay. Given twice: what is gone is gone.
 * @throws SITE_TAKEN another deployment has the site; nothing was deleted
 */
export async function releaseSite({ database, store, siteId, signal }: Claimant): Promise<void> {
  const { deployment } = await readSiteClaim(database.read, siteId);
  const isOurs = (place: RepoPath, bytes: Uint8Array): void => {
    const decode = place === SITE_PATH ? decodeSite : decodeHead;
    assertOurs(decode(bytes, place).deployment, deployment, place);
  };
  const site = await readAnchor(store, SITE_PATH, signal);
  if (site !== null) isOurs(SITE_PATH, site.bytes);
  const named = site === null ? [] : decodeSite(site.bytes, SITE_PATH).heads;
  const heads = [...(await listHeads(database.read, siteId)), ...named].map(headPath);
  for (const place of new Set([...heads, SITE_PATH])) await removeOurs(place);

  async function removeOurs(place: RepoPath): Promise<void> {
    for (let conflicts = 0; conflicts <= LIMITS.conflictsMax; conflicts += 1) {
      const found = await readAnchor(store, place, signal);
      if (found === null) return;
      isOurs(place, found.bytes);
      if ((await store.remove(place, found.etag, signal)) === 'gone') return;
    }
    throw new DebgeoError('FOREIGN_WRITE', `${place} keeps changing at the site`);
  }
}
