/**
 * The intents under which published names are replaced. A publication is open from its first
 * possible write until InRelease is written; while it is, its generation stays pinned and nothing
 * else may be published there.
 */
import { sql } from 'kysely';

import { DebgeoError } from '../../domain/errors.ts';
import type { RepoPath } from '../../domain/repo-path.ts';
import type { Sha256 } from '../../domain/sha256.ts';
import { bookingHead, bookingRelease, type WrittenHead } from '../anchors/heads.ts';
import { holdLane } from '../claims.ts';
import { DistributionReplication } from '../entities/distribution-replication.ts';
import { Publication as PublicationRow } from '../entities/publication.ts';
import { fenced } from '../fence.ts';
import { recordEvent } from '../incidents.ts';
import { lockArchiveShared } from '../locks.ts';
import type { Database, Tx } from '../orm.ts';
import { assertSettled, barrier } from '../registry/barrier.ts';
import type { LaneKey } from '../replication-row.ts';
import { INT_MAX, now, one, run } from '../sql.ts';
import { readNames, type RecordedName } from './names.ts';

export interface Publication {
  /** Null: the generation is served already, and its names are only read back and repaired. */
  readonly id: number | null;
  readonly lane: LaneKey;
  /** Another attempt began it: each name is read back before anything is written there. */
  readonly resumed: boolean;
  /** A publication was given up since the last one ended: its late writes may still come. */
  readonly afterGivenUp: boolean;
  /** By path relative to the archive's root. */
  readonly names: ReadonlyMap<RepoPath, RecordedName>;
}

/**
 * Begins a publication or takes over the open one. The barrier runs in the same transaction, under
 * the lock on the lane's row, so that no other is begun in between, and under the lock against
 * prune; the intent keeps the ETags of all names that it may replace.
 * @param release R, which is written next; null: H names this generation already
 * @throws FENCED
 * @throws NOT_VERIFIED, SNAPSHOT_EMPTY the barrier
 * @throws GENERATION_BACKWARDS the site serves a newer generation
 */
export function openPublication(
  db: Database,
  lane: LaneKey,
  release: Sha256 | null,
): Promise<Publication> {
  return db.transaction(async (tx) => {
    await lockArchiveShared(tx, lane.distributionId);
    const { served } = await holdLane(tx, lane);
    if (served > lane.generation)
      throw new DebgeoError(
        'GENERATION_BACKWARDS',
        `the site serves a newer generation than ${lane.generation}`,
        {
          expected: `a generation after ${served}`,
          found: `generation ${lane.generation}`,
          state: `generation ${served} is still served`,
        },
      );
    assertSettled(await barrier(tx, lane), lane.generation);

    const names = await readNames(tx, lane);
    const resumed = await resume(tx, lane);
    if (resumed === null && served < lane.generation)
      return { ...(await begin(tx, lane, names, release)), lane, resumed: false, names };
    if (release !== null) await run(tx, bookingRelease(lane, release));
    if (resumed === null) return { id: null, afterGivenUp: false, lane, resumed: false, names };
    return { ...resumed, lane, resumed: true, names };
  });
}

type Open = Pick<Publication, 'afterGivenUp'> & { readonly id: number };

/**
 * Takes over the open publication of the lane; null: there is none. In SQL: it is locked.
 * @throws FENCED it is of another generation
 */
async function resume(tx: Tx, lane: LaneKey): Promise<Open | null> {
  const open = await one(
    tx,
    sql<Open & { generation: number }>`
      select id, generation, ${afterGivenUp(lane)}
      from publications
      where distribution_id = ${lane.distributionId}
        and site_id = ${lane.siteId}
        and published_at is null
        and given_up_at is null
      for update`,
  );
  if (open === null) return null;
  if (open.generation !== lane.generation)
    throw fenced('the publication of another generation is open at this site', {
      expected: `generation ${open.generation}`,
      found: `generation ${lane.generation}`,
    });
  await tx.em.nativeUpdate(PublicationRow, { id: open.id }, { fence: lane.ticket });
  return { id: open.id, afterGivenUp: open.afterGivenUp };
}

/** In SQL: one statement books the intent and R. */
async function begin(
  tx: Tx,
  lane: LaneKey,
  names: Publication['names'],
  release: Sha256 | null,
): Promise<Open> {
  if (release === null) throw fenced(`generation ${lane.generation} is not served any more`);
  const replaces = Object.fromEntries([...names].map(([path, name]) => [path, name.etag]));
  const begun = await one(
    tx,
    sql<Open>`
      with release as (${bookingRelease(lane, release)})
      insert into publications (distribution_id, site_id, generation, fence, replaces)
      values (
        ${lane.distributionId}, ${lane.siteId}, ${lane.generation}, ${lane.ticket},
        ${JSON.stringify(replaces)}::jsonb)
      returning id, ${afterGivenUp(lane)}`,
  );
  return begun!;
}

const afterGivenUp = ({ distributionId, siteId }: LaneKey) => sql`
  exists (
    select
    from publications g
    where g.distribution_id = ${distributionId}
      and g.site_id = ${siteId}
      and g.given_up_at is not null
      and g.replaced_at is null
  ) as "afterGivenUp"`;

/**
 * The generation is served from now on, and the grace of the one before begins. Idempotent.
 * @param head R and H, as they were written
 * @param windowMs from the first published name that this attempt changed to InRelease; a
 *   publication that another attempt began counts from there
 * @throws FENCED
 */
export function finishPublication(
  db: Database,
  publication: Publication,
  head: WrittenHead,
  windowMs: number,
): Promise<void> {
  const { id, lane, resumed } = publication;
  return db.transaction(async (tx) => {
    await holdLane(tx, lane);
    const { em } = tx;
    const open = { id, publishedAt: null, givenUpAt: null };
    const isOpen =
      id !== null && (await em.nativeUpdate(PublicationRow, open, { publishedAt: now() })) === 1;
    if (isOpen) {
      const window = resumed ? await windowOf(tx, id) : Math.round(windowMs);
      const { distributionId: distribution, siteId: site, generation } = lane;
      const before = { distribution, site, id: { $ne: id }, replacedAt: null };
      await em.nativeUpdate(PublicationRow, before, { replacedAt: now() });
      await em.nativeUpdate(
        DistributionReplication,
        { distribution, site, servedGeneration: { $lt: generation } },
        { servedGeneration: generation, windowMs: window },
      );
      const event = { ...lane, what: 'published', facts: { windowMs: window } };
      await recordEvent(tx, event, bookingHead(lane, head));
    } else await run(tx, sql`with ${bookingHead(lane, head)} select`);
  });
}

/** From the first possible write of a publication to its end, milliseconds. */
async function windowOf({ em }: Tx, id: number): Promise<number> {
  const { startedAt, publishedAt } = await em.findOneOrFail(PublicationRow, id);
  return Math.min(publishedAt!.getTime() - startedAt.getTime(), INT_MAX);
}
