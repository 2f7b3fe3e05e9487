/** The plan of a sync: the catalog minus the registry, written into the registry. */
import { sql, type RawBuilder } from 'kysely';

import { DebgeoError } from '../../domain/errors.ts';
import { sha256FromBytes } from '../../domain/sha256.ts';
import { IS_FREE } from '../claims.ts';
import { overtaken } from '../fence.ts';
import { lockArchiveShared } from '../locks.ts';
import { type Tx } from '../orm.ts';
import { type LaneKey } from '../replication-row.ts';
import { all, one, run } from '../sql.ts';
import { to, atSite, from, members, PRUNING, STARTED } from './lane-sql.ts';
import { recount } from './progress.ts';

/** So many candidates are no longer named one by one in the statements of a plan. */
const MANY = 5_000;

/** So many new rows are worth new statistics. */
const LARGE = 1_000;

interface Planned {
  readonly files: number;
  readonly bytes: number;
  readonly isLarge: boolean;
}

interface Candidates {
  /** To stand behind `from`; gives `m` and `b`. */
  readonly members: RawBuilder<unknown>;
  /** Null: all members stand for those of them that the plan may change. */
  readonly count: number | null;
  readonly isLarge: boolean;
}

/**
 * Gives every member of the generation a row at the site, and another try to those that failed, or
 * that prune is deleting: they are written anew, over the version that is being deleted.
 * Idempotent. Must be the first statement of its transaction (see lockArchiveShared).
 * @returns files and bytes of the whole generation, and whether many rows are new
 * @throws FENCED, PATH_CONFLICT
 * @throws NOT_VERIFIED prune is deleting other bytes at one of its paths at this moment
 * @throws SUPERSEDED the generation was pruned before it was pinned, so a newer one is there
 * @throws SNAPSHOT_EMPTY no member at all
 */
export async function planBlobs(tx: Tx, lane: LaneKey): Promise<Planned> {
  await lockArchiveShared(tx, lane.distributionId);
  await holdStored(tx, lane);
  const candidates = await findCandidates(tx, lane);
  if (candidates !== null) {
    const planned = await planCandidates(tx, lane, candidates.members);
    if (planned !== candidates.count) await refuseConflicts(tx, lane, candidates.members);
  }

  const planned = await recount(tx, lane);
  if (planned.files === 0)
    throw new DebgeoError(
      'SNAPSHOT_EMPTY',
      `generation ${lane.generation} has no member: 0 of 0 is not verified`,
    );
  return { ...planned, isLarge: candidates?.isLarge ?? false };
}

/**
 * Judges and writes in one statement: between two, another lane may verify what a row holds, and
 * publish it. What no row could be written for is a conflict, which the next statement finds. What
 * the site refused to delete may be taken as it is found, since it may not be written over either:
 * its ETag is forgotten.
 * @returns how many rows were written: one per candidate, or there is a conflict
 */
async function planCandidates(
  tx: Tx,
  lane: LaneKey,
  candidates: RawBuilder<unknown>,
): Promise<number> {
  // Before the insert: this waits for a row that prune is about to delete, and the insert plans it
  // anew when it is gone.
  const replaced = await run(
    tx,
    sql`
      update blob_registry r
      set blob_id = b.id,
        state = case when r.blob_id = b.id then ${to('plan')} else ${to('replace')} end,
        etag = case when r.refused_at is null then r.etag end,
        refused_at = null,
        failure_code = null,
        retry_count = 0
      from ${candidates}
      where ${atSite(lane)}
        and r.path_id = b.path_id
        and case when r.blob_id = b.id then ${from('plan')} else ${isReplaceable(lane)} end`,
  );
  const inserted = await run(
    tx,
    sql`
      insert into blob_registry (site_id, path_id, blob_id)
      select ${lane.siteId}::int, b.path_id, b.id
      from ${candidates}
      where not exists (
        select 1
        from blob_registry r
        where ${atSite(lane)}
          and r.path_id = b.path_id
      )
      order by b.path_id
      on conflict do nothing`,
  );
  return replaced + inserted;
}

/**
 * Of `r`: that it is free for other bytes. A path holds one digest until prune has deleted it,
 * since a snapshot that is served, or in its grace, may name it. A row is free only if it was never
 * verified (then no snapshot with it was published here), no lane works on it, and no other
 * distribution at this site wants it: an archive replaces a file that it never had right.
 */
const isReplaceable = (lane: LaneKey): RawBuilder<boolean> => sql<boolean>`(
  r.verified_at is null
  and ${from('replace')}
  and (r.state <> ${STARTED} or ${IS_FREE})
  and not exists (select ${wantedByOthers(lane)})
)`;

/**
 * To stand behind `select`: `from` and `where` of `d`, another distribution at this site whose lane
 * (`x`) wants what `r` holds.
 */
const wantedByOthers = (lane: LaneKey): RawBuilder<unknown> => sql`
  from snapshot_blobs o
  join distribution_replications x
    on x.distribution_id = o.distribution_id and x.site_id = r.site_id
  join debian_distributions d on d.id = o.distribution_id
  where o.blob_id = r.blob_id
    and o.distribution_id <> ${lane.distributionId}
    and not d.removed
    and (
      x.pinned_generation >= o.from_generation and x.pinned_generation < o.to_generation
      or x.desired_generation >= o.from_generation and x.desired_generation < o.to_generation
    )`;

/**
 * The members that the plan may change, found by one
 * pass over all of them, so that a small change costs little. Where they are many, all members: the
 * statements of the plan judge each row themselves. Null: none.
 */
async function findCandidates(tx: Tx, lane: LaneKey): Promise<Candidates | null> {
  const rows = await all(
    tx,
    sql<{ id: number }>`
      select b.id
      from ${members(lane)}
      left join blob_registry r on ${atSite(lane)} and r.path_id = b.path_id
      where r.path_id is null
        or r.blob_id <> b.id
        or ${from('plan')}
      limit ${MANY}`,
  );
  if (rows.length === 0) return null;
  if (rows.length === MANY) return { members: members(lane), count: null, isLarge: true };
  const named = sql`
    unnest(${rows.map(({ id }) => id)}::bigint[]) m (blob_id)
    join blobs b on b.id = m.blob_id`;
  return { members: named, count: rows.length, isLarge: rows.length >= LARGE };
}

/** Holds the claim. @throws FENCED, SUPERSEDED */
async function holdStored(tx: Tx, lane: LaneKey): Promise<void> {
  const held = await one(
    tx,
    sql<{ isStored: boolean }>`
      select exists (
          select
          from distribution_snapshots
          where distribution_id = ${lane.distributionId}
            and generation = ${lane.generation}
        ) as "isStored"
      from claims
      where id = ${lane.claim}
      for key share`,
  );
  if (held === null) throw overtaken('this lane', lane);
  if (!held.isStored)
    throw new DebgeoError(
      'SUPERSEDED',
      `generation ${lane.generation} is not in the catalog any more`,
    );
}

interface Conflict {
  readonly path: string;
  readonly held: Uint8Array;
  readonly wanted: Uint8Array;
  /** Names of other distributions at this site that want the held bytes. */
  readonly others: string | null;
  /** Prune is deleting the held bytes, and nothing needs them. */
  readonly isGoing: boolean;
  /** Nothing needs the held bytes, and the site does not delete them. */
  readonly isHeld: boolean;
}

/**
 * @throws NOT_VERIFIED prune is deleting other bytes: the path is free soon, no operator has to act
 * @throws PATH_CONFLICT
 */
async function refuseConflicts(
  tx: Tx,
  lane: LaneKey,
  candidates: RawBuilder<unknown>,
): Promise<void> {
  const conflict = await findConflict(tx, lane, candidates);
  if (conflict === null) return;
  const { path, others } = conflict;
  const held = sha256FromBytes(conflict.held);
  const expected = sha256FromBytes(conflict.wanted);
  const state = 'nothing was overwritten';
  if (conflict.isGoing)
    throw new DebgeoError(
      'NOT_VERIFIED',
      `generation ${lane.generation} waits until prune has deleted other bytes at ${path}`,
      { expected, found: `${held}, which nothing needs any more`, state },
    );
  const holder =
    others ??
    (conflict.isHeld
      ? 'a file that nothing needs and that the site does not delete (BLOB_HELD)'
      : 'a snapshot that was served or may be served here');
  throw new DebgeoError(
    'PATH_CONFLICT',
    `generation ${lane.generation} needs other bytes at ${path} than the site holds there`,
    { expected, found: `${held}, of ${holder}`, state },
  );
}

/**
 * A candidate whose row still has other bytes after the plan was written. In the statement, `h` is
 * the blob that the site holds, and `w` has the names of the other distributions that want it.
 */
const findConflict = (
  tx: Tx,
  lane: LaneKey,
  candidates: RawBuilder<unknown>,
): Promise<Conflict | null> =>
  one(
    tx,
    sql<Conflict>`
      select p.path,
        h.sha256 as held,
        b.sha256 as wanted,
        w.names as others,
        r.state = ${PRUNING} and w.names is null and r.refused_at is null as "isGoing",
        r.state = ${PRUNING} and r.refused_at is not null as "isHeld"
      from ${candidates}
      join blob_registry r on ${atSite(lane)} and r.path_id = b.path_id and r.blob_id <> b.id
      join blobs h on h.id = r.blob_id
      join paths p on p.id = r.path_id
      left join lateral (
        select string_agg(distinct d.name, ', ') as names
        ${wantedByOthers(lane)}
      ) w on true
      order by "isGoing", p.path
      limit 1`,
  );
