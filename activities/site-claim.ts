/** S of a site: whose it is, and which suites have an H there. */
import { bookSite, readSiteClaim } from '../src/database/anchors/site-anchors.ts';
import { listHeads } from '../src/database/anchors/site-heads.ts';
import type { Database } from '../src/database/orm.ts';
import type { Deployment } from '../src/domain/deployment.ts';
import { DebgeoError } from '../src/domain/errors.ts';
import { LIMITS } from '../src/domain/limits.ts';
import type { RepoPath } from '../src/domain/repo-path.ts';
import { encodeSite } from '../src/site-format/anchors.ts';
import { decodeSite } from '../src/site-format/decode.ts';
import { headPath, SITE_PATH, type SuiteAt } from '../src/site-format/paths.ts';
import type { SiteStore } from '../src/site/site-store.ts';
import { assertOurs, putAnchor, readAnchor } from './anchors.ts';

/** A database at one of its sites. */
export interface Claimant {
  readonly database: Database;
  readonly store: SiteStore;
  readonly siteId: number;
  readonly signal: AbortSignal;
}

const UNCHANGED = 'no published name was changed there, and nothing deleted';
/** Lanes that publish at a site for the first time at once: each waits for all before it. */
const NAMINGS_MAX = 100;

/** S as it stands at the site. */
interface FoundSite {
  readonly etag: string;
  readonly epoch: number;
  readonly heads: readonly SuiteAt[];
}

/**
 * Null: there is no S.
 * @throws SITE_TAKEN, ANCHOR_UNREADABLE
 * @throws SITE_AHEAD it names a suite that this database does not know there
 */
async function readClaim(
  { database, store, siteId, signal }: Claimant,
  deployment: Deployment,
): Promise<FoundSite | null> {
  const found = await readAnchor(store, SITE_PATH, signal);
  if (found === null) return null;
  const { deployment: owner, heads } = decodeSite(found.bytes, SITE_PATH);
  assertOurs(owner, deployment, SITE_PATH);
  const known = new Set((await listHeads(database.read, siteId)).map(headPath));
  const unknown = heads.find((at) => !known.has(headPath(at)));
  if (unknown !== undefined)
    throw new DebgeoError('SITE_AHEAD', 'the site has a suite that is unknown here', {
      expected: 'suites that this database has replicated there',
      found: `${unknown.suite} below ${unknown.mount}`,
      state: UNCHANGED,
    });
  return { etag: found.etag, epoch: owner.epoch, heads };
}

/**
 * Makes a site ours, by S; what a version without S has written there is ours by the registry.
 * Given twice, or killed anywhere: finds S, and that it is ours.
 * @param served what apt would read there; where this database has written nothing, it is another
 *   program's
 * @throws SITE_TAKEN, SITE_AHEAD, ANCHOR_UNREADABLE
 */
export async function claimSite(claimant: Claimant, served: readonly RepoPath[]): Promise<void> {
  const { database, store, siteId, signal } = claimant;
  const { deployment, hasWritten } = await readSiteClaim(database.read, siteId);
  const booked = (await listHeads(database.read, siteId)).filter(({ head }) => head !== null);
  for (let conflicts = 0; conflicts <= LIMITS.conflictsMax; conflicts += 1) {
    const found = await readClaim(claimant, deployment);
    if (found?.epoch === deployment.epoch)
      return void (await bookSite(database.read, siteId, found.etag));
    if (found === null && !hasWritten) await assertEmpty(store, served, signal);
    const wanted = encodeSite({ deployment, heads: found?.heads ?? booked });
    const expected = found === null ? 'nothing' : { etag: found.etag };
    const written = await putAnchor(store, SITE_PATH, wanted, expected, signal);
    // If we die here, the next attempt finds S, and books it.
    if (written !== 'conflict') return void (await bookSite(database.read, siteId, written.etag));
  }
  throw new DebgeoError('FOREIGN_WRITE', `${SITE_PATH} keeps changing at the site`);
}

async function assertEmpty(
  store: SiteStore,
  served: readonly RepoPath[],
  signal: AbortSignal,
): Promise<void> {
  for (const place of served)
    if ((await store.checksum(place, signal)) !== null)
      throw new DebgeoError('SITE_TAKEN', 'the site serves what this database did not write', {
        expected: 'nothing, or an object .debgeo/site.json of this database',
        found: place,
        state: UNCHANGED,
      });
}

/**
 * Names a suite in S before its first H is written: a database that does not know the suite is told
 * so by S alone. Given twice: is named already.
 * @throws SITE_TAKEN, SITE_AHEAD, SITE_BEHIND, ANCHOR_UNREADABLE
 * @throws STALLED other lanes were always first
 */
export async function nameHead(
  claimant: Claimant,
  deployment: Deployment,
  at: SuiteAt,
): Promise<void> {
  const { database, store, siteId, signal } = claimant;
  for (let conflicts = 0; conflicts <= NAMINGS_MAX; conflicts += 1) {
    const found = await readClaim(claimant, deployment);
    if (found === null) throw gone();
    if (found.heads.some((named) => headPath(named) === headPath(at))) return;
    const heads = [...found.heads, at].toSorted(byPath);
    const wanted = encodeSite({ deployment, heads });
    const written = await putAnchor(store, SITE_PATH, wanted, { etag: found.etag }, signal);
    // If we die here, S is read where its ETag is compared, and names what the rows know.
    if (written !== 'conflict') return void (await bookSite(database.read, siteId, written.etag));
  }
  throw new DebgeoError('STALLED', `${SITE_PATH} keeps changing at the site`, { state: UNCHANGED });
}

const byPath = (one: SuiteAt, other: SuiteAt): number => (headPath(one) < headPath(other) ? -1 : 1);

/**
 * S is as it was written or read last, or as it may be.
 * @param etag as booked
 * @throws SITE_TAKEN, SITE_AHEAD, SITE_BEHIND, ANCHOR_UNREADABLE
 */
export async function confirmClaim(
  claimant: Claimant,
  deployment: Deployment,
  etag: string,
): Promise<void> {
  const { database, store, siteId, signal } = claimant;
  const booked = await store.checksum(SITE_PATH, signal, etag);
  if (booked !== null && booked !== 'changed') return;
  const found = await readClaim(claimant, deployment);
  if (found === null) throw gone();
  await bookSite(database.read, siteId, found.etag);
}

const gone = (): DebgeoError =>
  new DebgeoError('SITE_BEHIND', `${SITE_PATH} is gone from the site`, { state: UNCHANGED });
