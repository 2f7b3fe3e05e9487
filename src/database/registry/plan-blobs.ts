/** The plan of a sync: the catalog minus the registry, written into the registry. */
import { sql, type RawBuilder } from 'kysely';

import { DebgeoError } from '../../domain/errors.ts';
import { sha256FromBytes } from '../../domain/sha256.ts';
import { holdFence } from '../fence.ts';
import { lockArchiveShared } from '../locks.ts';
import { type Tx } from '../orm.ts';
import { type LaneKey } from '../replication-row.ts';
import { all, one, run } from '../sql.ts';
import {
  to,
  archiveOf,
  atSite,
  FAILED,
  from,
  isDead,
  members,
  PENDING,
  PRUNING,
  recount,
  STARTED,
} from './lane-sql.ts';

/** Blobs that are no longer named one by one in the statements of a plan. */
const MANY = 5_000;

/**
 * Gives every member of the generation a row at the site, and another try to those that failed, or
 * that prune is deleting: they are written anew, over the version that is being deleted. Planning
 * twice changes nothing. Must be the first statement of its transaction (see lockArchiveShared).
 * @returns what the generation has in all
 * @throws FENCED, PATH_CONFLICT
 * @throws NOT_VERIFIED prune is deleting other bytes at one of its paths at this moment
 * @throws SUPERSEDED the generation was pruned before it was pinned, so a newer one is there
 * @throws SNAPSHOT_EMPTY no member at all
 */
export async function planBlobs(tx: Tx, lane: LaneKey): Promise<{ files: number; bytes: number }> {
  await lockArchiveShared(tx, await archiveOf(tx, lane));
  await holdFence(tx, lane);

  await refusePruned(tx, lane);
  const candidates = await findCandidates(tx, lane);
  await refuseConflicts(tx, lane, candidates);
  await run(
    tx,
    sql`
    update blob_registry r set blob_id = b.id, state = ${to('replace')}, retry_count = 0, failure_code = null
    from ${candidates} where ${atSite(lane)} and r.path_id = b.path_id and r.blob_id <> b.id`,
  );
  // Before the insert: a row that prune is about to forget is waited for here, and if it went away,
  // planned anew below.
  await run(
    tx,
    sql`
    update blob_registry r set state = ${to('plan')}, failure_code = null, retry_count = 0
    from ${candidates} where ${atSite(lane)} and r.path_id = b.path_id and r.blob_id = b.id and ${from('plan')}`,
  );
  await run(
    tx,
    sql`
    insert into blob_registry (site_id, path_id, blob_id)
    select ${lane.siteId}::int, b.path_id, b.id from ${candidates}
    where not exists (select 1 from blob_registry r where ${atSite(lane)} and r.path_id = b.path_id)
    order by b.path_id on conflict do nothing`,
  );

  const planned = await recount(tx, lane);
  if (planned.files === 0)
    throw new DebgeoError(
      'SNAPSHOT_EMPTY',
      `generation ${lane.generation} has no member: 0 of 0 is not verified`,
    );
  return planned;
}

/**
 * `m` and `b`, to stand behind `from`: the members that the plan may change, found by one look at
 * all of them; so a small change costs little. Where they are many, all members: what the plan
 * changes it judges itself.
 */
async function findCandidates(tx: Tx, lane: LaneKey): Promise<RawBuilder<unknown>> {
  const rows = await all(
    tx,
    sql<{ id: number }>`
    select b.id from ${members(lane)} left join blob_registry r on ${atSite(lane)} and r.path_id = b.path_id
    where r.path_id is null or r.blob_id <> b.id or ${from('plan')} limit ${MANY}`,
  );
  if (rows.length === MANY) return members(lane);
  return sql`unnest(${rows.map(({ id }) => id)}::bigint[]) m (blob_id) join blobs b on b.id = m.blob_id`;
}

async function refusePruned(tx: Tx, lane: LaneKey): Promise<void> {
  const rows = await all(
    tx,
    sql`
    select from distribution_snapshots where distribution_id = ${lane.distributionId} and generation = ${lane.generation}`,
  );
  if (rows.length === 0)
    throw new DebgeoError(
      'SUPERSEDED',
      `generation ${lane.generation} is not in the catalog any more`,
    );
}

/**
 * A path holds one digest for as long as a served snapshot, or one in its grace, may name it: until
 * prune has deleted it. Free for other bytes is only a row that was never verified, so that no
 * snapshot with it was ever published here, that nobody works on, and that no other distribution at
 * this site wants: an archive that replaces a file that it never had right. What prune is deleting
 * at this moment is free soon: no person has to act.
 */
async function refuseConflicts(
  tx: Tx,
  lane: LaneKey,
  candidates: RawBuilder<unknown>,
): Promise<void> {
  const conflict = await one(
    tx,
    sql<{
      path: string;
      held: Uint8Array;
      wanted: Uint8Array;
      others: string | null;
      isGoing: boolean;
    }>`
      select p.path, h.sha256 as held, b.sha256 as wanted, w.names as others, r.state = ${PRUNING} and w.names is null as "isGoing"
      from ${candidates}
      join blob_registry r on ${atSite(lane)} and r.path_id = b.path_id and r.blob_id <> b.id
      join blobs h on h.id = r.blob_id join paths p on p.id = r.path_id
      left join lateral (
        select string_agg(distinct d.name, ', ') as names
        from snapshot_blobs o join distribution_replications x on x.distribution_id = o.distribution_id and x.site_id = r.site_id
        join debian_distributions d on d.id = o.distribution_id
        where o.blob_id = r.blob_id and o.distribution_id <> ${lane.distributionId} and not d.removed
          and (x.pinned_generation >= o.from_generation and x.pinned_generation < o.to_generation
            or x.desired_generation >= o.from_generation and x.desired_generation < o.to_generation)) w on true
      where r.verified_at is not null or w.names is not null or not (r.state in (${PENDING}, ${FAILED}) or (r.state = ${STARTED} and ${isDead(lane)}))
      order by "isGoing", p.path limit 1`,
  );
  if (conflict === null) return;
  if (conflict.isGoing)
    throw new DebgeoError(
      'NOT_VERIFIED',
      `generation ${lane.generation} waits until prune has deleted other bytes at ${conflict.path}`,
      {
        expected: sha256FromBytes(conflict.wanted),
        found: `${sha256FromBytes(conflict.held)}, which nothing needs any more`,
        state: 'nothing was overwritten',
      },
    );
  throw new DebgeoError(
    'PATH_CONFLICT',
    `generation ${lane.generation} needs other bytes at ${conflict.path} than the site holds there`,
    {
      expected: sha256FromBytes(conflict.wanted),
      found: `${sha256FromBytes(conflict.held)}, of ${conflict.others ?? 'a snapshot that was served or may be served here'}`,
      state: 'nothing was overwritten',
    },
  );
}
