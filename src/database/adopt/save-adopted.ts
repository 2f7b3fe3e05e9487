/**
 * What a site serves becomes known to a database that lost it, in three transactions of each
 * distribution. The first one writes all that is there: S and H are another deployment's still, and
 * the lane can do nothing. The second one books H, and the last one, once S is ours, lets the lane
 * go.
 */
import { sql } from 'kysely';

import { DebgeoError } from '../../domain/errors.ts';
import { isOlder } from '../../domain/freshness.ts';
import { suiteFolder } from '../../domain/release.ts';
import type { Snapshot } from '../../domain/snapshot.ts';
import { distrustSite } from '../anchors/distrust.ts';
import { bookingHead, type WrittenHead } from '../anchors/heads.ts';
import { raisePrunes } from '../anchors/site-heads.ts';
import type { DistributionRecord } from '../catalog/distributions.ts';
import { readSnapshot, type StoredSnapshot } from '../catalog/snapshots.ts';
import { dropClaims, laterFence } from '../claims.ts';
import { markChanged } from '../configuration/mark-changed.ts';
import { DebianDistribution } from '../entities/debian-distribution.ts';
import { recordEvent } from '../incidents.ts';
import { lockArchiveShared } from '../locks.ts';
import type { Database, Tx } from '../orm.ts';
import { giveUpPublication } from '../publications/give-up.ts';
import type { LaneAt } from '../replication-row.ts';
import { lockKnownLane, type LockedLane } from '../replications/lock.ts';
import { rollUp } from '../replications/roll-up.ts';
import { wantGeneration } from '../replications/want-generation.ts';
import { counted, from, to, writeLane } from '../replications/write-lane.ts';
import { now, one, run } from '../sql.ts';
import {
  adoptBlobs,
  adoptNames,
  adoptPublications,
  adoptReleases,
  type RecordedAt,
  type Shown,
} from './adopt-rows.ts';
import { placeReleases, type Placed } from './generations.ts';

/** A release as its R at the site has it. */
export interface AdoptedRelease extends RecordedAt {
  readonly snapshot: Snapshot;
}

export interface Adoption {
  readonly site: string;
  readonly record: DistributionRecord;
  /** In the order in which they were published there. */
  readonly releases: readonly AdoptedRelease[];
  /** What clients get, and which of the releases that is; null: nothing. */
  readonly visible: { readonly shown: Shown; readonly place: number } | null;
  /** How often files had been deleted at the site, by its H. */
  readonly pruned: number;
}

/** Generations of the releases; of what is served (0: nothing), and of the archive's newest. */
export interface Saved {
  readonly generations: readonly number[];
  readonly served: number;
  readonly top: number;
}

/**
 * Catalog and registry of one distribution at one site, in one transaction under the locks of a
 * capture and of the lane: no lane sees an adopted release as the newest one. Given twice: the
 * releases keep their generations.
 * @throws ADOPT_REFUSED, RELEASE_ROLLBACK see newestFor
 * @throws INDEX_CONTRADICTION, SNAPSHOT_EMPTY
 */
export function saveAdopted(db: Database, adoption: Adoption): Promise<Saved> {
  const { record, releases, visible } = adoption;
  return db.transaction(async (tx) => {
    const archiveId = await lockArchiveShared(tx, record.id);
    const lane = await lockKnownLane(tx, { distribution: record.name, site: adoption.site });
    const newest = await newestFor(tx, record, adoption);
    await distrustSite(tx, lane.siteId, true);
    await giveUpPublication(tx, lane, 'the site is adopted');
    await raisePrunes(tx, lane.siteId, adoption.pruned);

    const byDate = releases.toSorted(({ snapshot: a }, { snapshot: b }) =>
      isOlder(a, b) ? -1 : isOlder(b, a) ? 1 : 0,
    );
    const ids = { distributionId: record.id, archiveId };
    const placed = await placeReleases(
      tx,
      ids,
      newest,
      byDate.map(({ snapshot }) => snapshot),
      (kept) => isForward(kept, byDate, visible === null ? null : releases[visible.place]!, lane),
    );
    const saved = savedOf(adoption, byDate, placed);
    await tx.em.nativeUpdate(
      DebianDistribution,
      { id: record.id },
      { latestGeneration: placed.top },
    );
    await wantGeneration(tx, record.id, placed.top);
    await holdStill(tx, lane, saved);
    await writeRows(tx, lane, adoption, saved);
    await rollUp(tx, record.id);
    return saved;
  });
}

/**
 * The newest release that was captured from the archive. What a site says never becomes it.
 * @throws ADOPT_REFUSED the archive was not looked at yet
 * @throws RELEASE_ROLLBACK the site serves a later one
 */
export async function newestFor(
  tx: Tx,
  { id, name }: DistributionRecord,
  { releases, visible }: Pick<Adoption, 'releases' | 'visible'>,
): Promise<StoredSnapshot> {
  const latest = await one(
    tx,
    sql<{ generation: number }>`
      select latest_generation as generation
      from debian_distributions
      where id = ${id}`,
  );
  const newest = await readSnapshot(tx, id, latest!.generation);
  const state = 'nothing of it was adopted';
  if (newest === null)
    throw new DebgeoError('ADOPT_REFUSED', `nothing of ${name} was captured from its archive yet`, {
      expected: 'a release of the archive: what a site has never becomes the newest one',
      found: 'none',
      state,
    });
  const served = visible === null ? null : releases[visible.place]!.snapshot;
  if (served !== null && isOlder(newest, served))
    throw new DebgeoError('RELEASE_ROLLBACK', 'the site serves a later release than the archive', {
      expected: `${served.date!.toISOString()} or later`,
      found: `${newest.date!.toISOString()}, the newest that was captured`,
      state: `${state}: look again when the archive has it (debgeo update ${name}), then adopt`,
    });
  return newest;
}

/** What a site serves never goes back: a database that was restored may know it as later. */
function isForward(
  kept: readonly number[],
  byDate: readonly AdoptedRelease[],
  served: AdoptedRelease | null,
  lane: LockedLane,
): boolean {
  const generation = served === null ? undefined : kept[byDate.indexOf(served)];
  return generation === undefined || generation >= lane.served;
}

function savedOf(
  { releases, visible }: Adoption,
  byDate: readonly AdoptedRelease[],
  { generations: placed, top }: Placed,
): Saved {
  const generations = releases.map((release) => placed[byDate.indexOf(release)]!);
  return { generations, served: visible === null ? 0 : generations[visible.place]!, top };
}

/** What works on the lane ends here, and it knows what it serves. */
async function holdStill(tx: Tx, lane: LockedLane, { served }: Saved): Promise<void> {
  await writeLane(tx, lane, {
    ...counted(await dropClaims(tx, lane)),
    fence: laterFence(null),
    pinnedGeneration: null,
    servedGeneration: Math.max(served, lane.served),
    verifyRequestedAt: now(),
    verifyTakenAt: null,
    lostRelease: null,
  });
}

async function writeRows(
  tx: Tx,
  lane: LockedLane,
  { record, releases, visible }: Adoption,
  { generations, served }: Saved,
): Promise<void> {
  // What is visible first: where two releases name one path, its bytes are those at the site.
  for (const generation of new Set([served, ...generations.toReversed()]))
    if (generation > 0) await adoptBlobs(tx, lane, generation);
  const published = visible === null ? [] : generations.slice(0, visible.place + 1);
  await adoptPublications(tx, lane, published);
  await adoptReleases(
    tx,
    lane,
    releases.map((release, place) => ({ ...release, generation: generations[place]! })),
  );
  if (visible !== null)
    await adoptNames(tx, lane, served, suiteFolder(record.suite), visible.shown);
}

/** H names what is visible, for this database. Before S is ours: no lane writes another one. */
export function bookAdoptedHead(db: Database, at: LaneAt, head: WrittenHead): Promise<void> {
  return db.transaction(async (tx) => {
    const lane = await lockKnownLane(tx, at);
    await run(tx, sql`with ${bookingHead(lane, head)} select`);
  });
}

/** S is ours: the lane reads everything back, and goes forward. Idempotent. */
export function startAdopted(
  db: Database,
  at: LaneAt,
  facts: { readonly reason: string; readonly by: string; readonly releases: number },
): Promise<void> {
  return db.transaction(async (tx) => {
    const lane = await lockKnownLane(tx, at);
    const { distributionId, siteId } = lane;
    const started = {
      ...counted(await dropClaims(tx, lane)),
      fence: laterFence(null),
      state: to('adopt'),
      retryCount: 0,
      retryAt: null,
      failureCode: null,
      failure: null,
    };
    await writeLane(tx, lane, started, from('adopt'));
    const generation = lane.served;
    await recordEvent(tx, { distributionId, siteId, generation, what: 'site adopted', facts });
    await rollUp(tx, distributionId);
    await markChanged(tx, { archives: [], sites: [], distributions: [distributionId] });
  });
}
