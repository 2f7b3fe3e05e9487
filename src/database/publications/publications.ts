/**
 * Published names: what a site has at each of them as far as we know, and the intents under which
 * they are replaced. A publication is open from its first possible write until InRelease is
 * written; while it is, its generation stays pinned and nothing else may be published there.
 */
import { sql } from 'kysely';

import { DebgeoError } from '../../domain/errors.ts';
import type { Replication } from '../../domain/replication.ts';
import type { RepoPath } from '../../domain/repo-path.ts';
import { sha256FromBytes, type Sha256 } from '../../domain/sha256.ts';
import { fenced, holdFence } from '../fence.ts';
import { recordEvent } from '../incidents.ts';
import { lockArchiveShared } from '../locks.ts';
import { type Database, type Tx } from '../orm.ts';
import { assertSettled, barrier } from '../registry/barrier.ts';
import { recordCorrupt } from '../registry/judgements.ts';
import { archiveOf } from '../registry/lane-sql.ts';
import { readReplication, type LaneKey } from '../replication-row.ts';
import { ms, timestamp, all, one, run } from '../sql.ts';

/** What stands at a published name since our last write or look; `sha256` null: nothing. */
export interface RecordedName {
  readonly sha256: Sha256 | null;
  readonly etag: string | null;
  /** Milliseconds since 1970, whole seconds. */
  readonly lastModified: number | null;
}

export interface Publication {
  /** Null: the generation is served already, and its names are only read back and repaired. */
  readonly id: number | null;
  readonly lane: LaneKey;
  /**
   * Another attempt began it: what stands at the site must be looked at before anything is written.
   */
  readonly resumed: boolean;
  /** By path relative to the archive's root. */
  readonly names: ReadonlyMap<RepoPath, RecordedName>;
}

/**
 * Begins a publication or takes over the open one. The barrier runs in the same transaction, under
 * the lock on the lane's row, so that nobody can begin another one in between, and under the lock
 * against prune; the intent keeps the ETags of all names that it may replace.
 * @throws FENCED
 * @throws NOT_VERIFIED, SNAPSHOT_EMPTY the barrier
 * @throws GENERATION_BACKWARDS the site serves a newer generation
 */
export function openPublication(db: Database, lane: LaneKey): Promise<Publication> {
  return db.transaction(async (tx) => {
    await lockArchiveShared(tx, await archiveOf(tx, lane));
    await holdFence(tx, lane);
    const served = await servedGeneration(tx, lane);
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
    const open = await one(
      tx,
      sql<{ id: number; generation: number }>`
        select id, generation from publications
        where distribution_id = ${lane.distributionId} and site_id = ${lane.siteId} and published_at is null for update`,
    );
    if (open !== null) return { id: await resume(tx, open, lane), lane, resumed: true, names };
    if (served === lane.generation) return { id: null, lane, resumed: false, names };
    return { id: await begin(tx, lane, names), lane, resumed: false, names };
  });
}

async function resume(
  tx: Tx,
  open: { id: number; generation: number },
  lane: LaneKey,
): Promise<number> {
  if (open.generation !== lane.generation)
    throw fenced(`the publication of another generation is open at this site`, {
      expected: `generation ${open.generation}`,
      found: `generation ${lane.generation}`,
    });
  await run(tx, sql`update publications set fence = ${lane.attempt} where id = ${open.id}`);
  return open.id;
}

async function begin(tx: Tx, lane: LaneKey, names: Publication['names']): Promise<number> {
  const replaces = Object.fromEntries([...names].map(([path, name]) => [path, name.etag]));
  const begun = await all(
    tx,
    sql<{ id: number }>`
    insert into publications (distribution_id, site_id, generation, fence, replaces)
    values (${lane.distributionId}, ${lane.siteId}, ${lane.generation}, ${lane.attempt}, ${JSON.stringify(replaces)}::jsonb)
    returning id`,
  );
  return begun[0]!.id;
}

async function servedGeneration(tx: Tx, lane: LaneKey): Promise<number> {
  const row = await one(
    tx,
    sql<{ served: number }>`
      select served_generation as served from distribution_replications
      where distribution_id = ${lane.distributionId} and site_id = ${lane.siteId}`,
  );
  return row?.served ?? 0;
}

/** What the site has at the published names of the lane's distribution. */
async function readNames(tx: Tx, lane: LaneKey): Promise<Map<RepoPath, RecordedName>> {
  const found = await all(
    tx,
    sql<{
      path: RepoPath;
      digest: Uint8Array | null;
      etag: string | null;
      lastModified: number | null;
    }>`
    select path, sha256 as digest, etag, ${ms('last_modified')} as "lastModified" from published_names
    where site_id = ${lane.siteId} and distribution_id = ${lane.distributionId}`,
  );
  return new Map(
    found.map(
      ({ path, digest, ...name }) =>
        [path, { ...name, sha256: digest === null ? null : sha256FromBytes(digest) }] as const,
    ),
  );
}

/**
 * Books one name after it was written and read back, or deleted: what a killed attempt leaves
 * behind is at most one name that was not booked.
 * @throws FENCED
 */
export function recordName(
  db: Database,
  publication: Publication,
  path: RepoPath,
  name: RecordedName,
): Promise<void> {
  const { lane } = publication;
  return db.transaction(async (tx) => {
    await holdFence(tx, lane);
    const digest = name.sha256 === null ? null : Buffer.from(name.sha256, 'hex');
    await run(
      tx,
      sql`
      insert into published_names (site_id, distribution_id, path, sha256, etag, last_modified, verified_at)
      values (${lane.siteId}, ${lane.distributionId}, ${path}, ${digest}, ${name.etag}, ${timestamp(name.lastModified)}, now())
      on conflict (site_id, distribution_id, path) do update
      set sha256 = excluded.sha256, etag = excluded.etag, last_modified = excluded.last_modified, verified_at = excluded.verified_at`,
    );
  });
}

/** Puts a rotten or lost published name on record; its repair follows. @throws FENCED */
export function recordCorruptName(
  db: Database,
  lane: LaneKey,
  name: { path: string; expected: string; found: string },
): Promise<void> {
  return db.transaction(async (tx) => {
    await holdFence(tx, lane);
    await recordCorrupt(tx, lane, name);
  });
}

/**
 * The generation is served from now on, and the grace of the one before begins. Twice is once.
 * @param windowMs from the first published name that this attempt changed to InRelease; a
 *   publication that another attempt began counts from there
 * @throws FENCED
 */
export function finishPublication(
  db: Database,
  publication: Publication,
  windowMs: number,
): Promise<Replication> {
  const { id, lane } = publication;
  return db.transaction(async (tx) => {
    await holdFence(tx, lane);
    const finished = await one(
      tx,
      sql<{ sinceStart: number }>`
        update publications set published_at = now() where id = ${id} and published_at is null
        returning least(${ms(sql`now()`)} - ${ms('started_at')}, 2147483647) as "sinceStart"`,
    );
    if (finished !== null) {
      const window = Math.round(publication.resumed ? finished.sinceStart : windowMs);
      await run(
        tx,
        sql`
        update publications set replaced_at = now()
        where distribution_id = ${lane.distributionId} and site_id = ${lane.siteId} and id <> ${id} and replaced_at is null`,
      );
      await run(
        tx,
        sql`
        update distribution_replications set served_generation = ${lane.generation}, window_ms = ${window}
        where distribution_id = ${lane.distributionId} and site_id = ${lane.siteId} and served_generation < ${lane.generation}`,
      );
      await recordEvent(tx, { ...lane, what: 'published', facts: { windowMs: window } });
    }
    return readReplication(tx, lane);
  });
}
