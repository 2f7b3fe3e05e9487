/**
 * A site becomes that of this database, which was lost and begins anew: what the site serves, and
 * what it served until lately, is read from the site itself, judged as a release of the archive is,
 * and known from then on. Nothing that clients read is written.
 *
 * In this order, so that it may be killed anywhere and is given again:
 *
 * 1. Rows of each suite are committed. S is another deployment's still: no lane and no prune of
 *    this database does anything at the site. Given again, the same releases have the same rows.
 * 2. H of each suite is written over the version that was read, and booked, then S. A lane that
 *    runs between is refused as before.
 * 3. The ETag of S is booked, and lanes are let go. Until then a lane that was parked stays so;
 *    given again, S and H are found as they should be, and this is all that is left to do.
 */
import { bookAdoptedHead, startAdopted } from '../../src/database/adopt/save-adopted.ts';
import { listReplicated } from '../../src/database/adopt/suites.ts';
import { bookSite, readSiteClaim } from '../../src/database/anchors/site-anchors.ts';
import { listHeads } from '../../src/database/anchors/site-heads.ts';
import { readSite } from '../../src/database/configuration/sites.ts';
import type { Deployment } from '../../src/domain/deployment.ts';
import { DebgeoError, type ErrorReport } from '../../src/domain/errors.ts';
import { encodeSite, type SiteAnchor } from '../../src/site-format/anchors.ts';
import { decodeSite } from '../../src/site-format/decode.ts';
import { headPath, SITE_PATH, type SuiteAt } from '../../src/site-format/paths.ts';
import { readAnchor, type FoundAnchor } from '../anchors.ts';
import type { Deps } from '../deps.ts';
import { adoptSuite, type AdoptedSuite } from './adopt-suite.ts';
import { assertTakeable, putOver, type Adopter, type AdoptInput } from './adopter.ts';

export interface Adopted {
  readonly site: string;
  /** Whose S was found. */
  readonly deployment: Deployment;
  /** S names this database from now on; of a dry run: would. */
  readonly isTaken: boolean;
  readonly suites: readonly SuiteOutcome[];
  /** Named in S, and replicated there by no distribution: what is there of them stays. */
  readonly unknown: readonly SuiteAt[];
}

/** Neither adopted nor refused: nothing was published there. */
export interface SuiteOutcome extends SuiteAt {
  readonly distribution: string;
  readonly adopted: AdoptedSuite | null;
  readonly refusal: ErrorReport | null;
}

/**
 * @throws ADOPT_REFUSED there is no S
 * @throws SITE_TAKEN S is of another deployment, or of a later epoch, without `takeOver`
 * @throws FOREIGN_WRITE S or an H changed meanwhile: give it again
 * @throws ANCHOR_UNREADABLE, SITE_*
 */
export async function adoptSite(deps: Deps, input: AdoptInput): Promise<Adopted> {
  const { database } = deps;
  const { id: siteId } = await readSite(database.read, input.site);
  const { store } = await deps.siteOf(input.site);
  const adopter: Adopter = { deps, store, siteId, ...input };
  const anchor = await readAnchor(store, SITE_PATH, input.signal);
  if (anchor === null)
    throw new DebgeoError('ADOPT_REFUSED', `${input.site} has no ${SITE_PATH}`, {
      expected: 'a site that a deployment of debgeo has claimed',
      found: 'nothing that vouches for what the site serves',
      state: 'nothing changed',
    });
  const found = decodeSite(anchor.bytes, SITE_PATH);
  await assertTakeable(adopter, found.deployment, SITE_PATH);

  const outcomes: SuiteOutcome[] = [];
  for (const record of await listReplicated(database.read, siteId)) {
    const at = { mount: record.archive.mount, suite: record.suite };
    outcomes.push({
      ...at,
      distribution: record.name,
      ...(await outcomeOf(() => adoptSuite(adopter, record))),
    });
  }
  const replicated = new Set(outcomes.map(headPath));
  const unknown = found.heads.filter((at) => !replicated.has(headPath(at)));
  const isAdopted = outcomes.some(({ adopted }) => adopted !== null);
  const isRefused = outcomes.some(({ refusal }) => refusal !== null);
  if (!isAdopted && !isRefused && unknown.length > 0) throw foreign(input.site, unknown);
  // a site where nothing was published yet is taken over, too
  const isTaken = isAdopted || !isRefused;
  if (isTaken && !input.dryRun) await takeOver(adopter, found, anchor, outcomes);
  return { site: input.site, deployment: found.deployment, isTaken, suites: outcomes, unknown };
}

const foreign = (site: string, unknown: readonly SuiteAt[]): DebgeoError =>
  new DebgeoError('ADOPT_REFUSED', `no suite of ${site} is one that is replicated there`, {
    expected: 'the configuration of the database that was lost: the same mounts and suites',
    found: unknown.map(({ mount, suite }) => `${suite} below ${mount}`),
    state: 'nothing changed',
  });

/** One suite that is refused keeps no other from being adopted. */
async function outcomeOf(
  work: () => Promise<AdoptedSuite | null>,
): Promise<Pick<SuiteOutcome, 'adopted' | 'refusal'>> {
  try {
    return { adopted: await work(), refusal: null };
  } catch (error) {
    if (!(error instanceof DebgeoError)) throw error;
    return { adopted: null, refusal: error.report };
  }
}

/** Writes H of what was adopted, and S; then lanes go. */
async function takeOver(
  adopter: Adopter,
  found: SiteAnchor,
  anchor: FoundAnchor,
  outcomes: readonly SuiteOutcome[],
): Promise<void> {
  const { deps, store, siteId, site, signal, reason, by } = adopter;
  const { read } = deps.database;
  const { deployment } = await readSiteClaim(read, siteId);
  const adopted = outcomes.flatMap(({ adopted: one, distribution }) =>
    one === null ? [] : [{ ...one, distribution }],
  );
  for (const { distribution, head } of adopted) {
    const etag = await putOver(store, head.place, head.encode(deployment), head.found, signal);
    await bookAdoptedHead(deps.database, { distribution, site }, { ...head.release, etag });
  }
  // If we die here, each H is ours, and S is not: no lane comes as far as H.

  // A suite that this database does not know would stop every lane here.
  const known = new Set((await listHeads(read, siteId)).map(headPath));
  const named = [...found.heads, ...outcomes.filter(({ adopted: one }) => one !== null)]
    .filter((at) => known.has(headPath(at)))
    .map((at) => [headPath(at), at] as const);
  const wanted = encodeSite({
    deployment,
    heads: [...new Map(named)].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, at]) => at),
  });
  const etag = await putOver(store, SITE_PATH, wanted, anchor, signal);
  // If we die here, the site is ours, and lanes that were parked stay so until it is given again.
  await bookSite(read, siteId, etag);
  for (const { distribution, releases } of adopted) {
    const facts = { reason, by, releases: releases.length };
    await startAdopted(deps.database, { distribution, site }, facts);
  }
}
