/** S of a site: whose it is, and which suites have an H there. */
import { bookSite, readSiteClaim } from '../src/database/anchors/site-anchors.ts';
import { listHeads } from '../src/database/anchors/site-heads.ts';
import type { Database } from '../src/database/orm.ts';
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
  /** A suite that this database does not know there: it lost it. */
  readonly unknown: SuiteAt | undefined;
}

/**
 * Null: there is no S.
 * @throws SITE_TAKEN, ANCHOR_UNREADABLE
 */
async function readClaim({ database, store, siteId, signal }: Claimant): Promise<FoundSite | null> {
  const found = await readAnchor(store, SITE_PATH, signal);
  if (found === null) return null;
  const { deployment: owner, heads } = decodeSite(found.bytes, SITE_PATH);
  // read behind S: a lane of another site may have raised the epoch meanwhile
  assertOurs(owner, (await readSiteClaim(database.read, siteId)).deployment, SITE_PATH);
  const known = new Set((await listHeads(database.read, siteId)).map(headPath));
  const unknown = heads.find((at) => !known.has(headPath(at)));
  return { etag: found.etag, epoch: owner.epoch, heads, unknown };
}

/** Where S names what is unknown here, it is read again by each step, and nothing is pruned. */
const book = (
  { database, siteId }: Claimant,
  { etag, unknown }: Pick<FoundSite, 'etag' | 'unknown'>,
): Promise<unknown> => bookSite(database.read, siteId, unknown === undefined ? etag : null);

/**
 * Makes a site ours, by S; what a version without S has written there is ours by the registry.
 * Given twice, or killed anywhere: finds S, and that it is ours.
 * @param served what apt would read there; where this database has written nothing, it is another
 *   program's
 * @returns a suite that S names and this database does not know there
 * @throws SITE_TAKEN, ANCHOR_UNREADABLE
 */
export async function claimSite(
  claimant: Claimant,
  served: readonly RepoPath[],
): Promise<SuiteAt | undefined> {
  const { database, store, siteId, signal } = claimant;
  for (let conflicts = 0; conflicts <= LIMITS.conflictsMax; conflicts += 1) {
    const found = await readClaim(claimant);
    const { deployment, hasWritten } = await readSiteClaim(database.read, siteId);
    const unknown = found?.unknown;
    if (found?.epoch === deployment.epoch) {
      await book(claimant, found);
      return unknown;
    }
    if (found === null && !hasWritten) await assertEmpty(store, served, signal);
    const booked = (await listHeads(database.read, siteId)).filter(({ head }) => head !== null);
    const wanted = encodeSite({ deployment, heads: found?.heads ?? booked });
    const expected = found === null ? 'nothing' : { etag: found.etag };
    const written = await putAnchor(store, SITE_PATH, wanted, expected, signal);
    if (written === 'conflict') continue;
    // If we die here, the next attempt finds S, and books it.
    await book(claimant, { etag: written.etag, unknown });
    return unknown;
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
 * @throws SITE_TAKEN, SITE_BEHIND, ANCHOR_UNREADABLE
 * @throws STALLED other lanes were always first
 */
export async function nameHead(claimant: Claimant, at: SuiteAt): Promise<void> {
  const { database, store, siteId, signal } = claimant;
  for (let conflicts = 0; conflicts <= NAMINGS_MAX; conflicts += 1) {
    const found = await readClaim(claimant);
    if (found === null) throw gone();
    if (found.heads.some((named) => headPath(named) === headPath(at))) return;
    const { deployment } = await readSiteClaim(database.read, siteId);
    const heads = [...found.heads, at].toSorted(byPath);
    const wanted = encodeSite({ deployment, heads });
    const written = await putAnchor(store, SITE_PATH, wanted, { etag: found.etag }, signal);
    // If we die here, S is read where its ETag is compared, and names what the rows know.
    if (written !== 'conflict')
      return void (await book(claimant, { ...found, etag: written.etag }));
  }
  throw new DebgeoError('STALLED', `${SITE_PATH} keeps changing at the site`, { state: UNCHANGED });
}

const byPath = (one: SuiteAt, other: SuiteAt): number => (headPath(one) < headPath(other) ? -1 : 1);

/**
 * S is as it was written or read last, or as it may be.
 * @param etag as booked
 * @returns a suite that S names and this database does not know there
 * @throws SITE_TAKEN, SITE_BEHIND, ANCHOR_UNREADABLE
 */
export async function confirmClaim(claimant: Claimant, etag: string): Promise<SuiteAt | undefined> {
  const { store, signal } = claimant;
  const booked = await store.checksum(SITE_PATH, signal, etag);
  if (booked !== null && booked !== 'changed') return undefined;
  const found = await readClaim(claimant);
  if (found === null) throw gone();
  await book(claimant, found);
  return found.unknown;
}

const gone = (): DebgeoError =>
  new DebgeoError('SITE_BEHIND', `${SITE_PATH} is gone from the site`, { state: UNCHANGED });
