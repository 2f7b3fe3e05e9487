/**
 * What every write of a running lane is conditional on, and the SQL that says which blobs its
 * generation has.
 *
 * The registry (`blob_registry`) says what each site has, and is also the plan: one row per site
 * and immutable path. Rows are shared by all distributions of an archive at a site, so every write
 * is conditional on the claim of its own attempt (or, for a blob that is only read, on the ETag
 * that was read), and on the lane's fence: a late result changes nothing. Claims are for
 * efficiency; what keeps bytes safe are the conditions on the writes at the site.
 */
import { sql, type RawBuilder } from 'kysely';

import type { ErrorReport } from '../../domain/errors.ts';
import {
  BLOB_TRANSITIONS,
  type BlobEvent,
  type BlobState,
  type Replication,
} from '../../domain/replication.ts';
import { fenced } from '../fence.ts';
import { recordIncident } from '../incidents.ts';
import { type Tx } from '../orm.ts';
import { REPLICATION_COLUMNS, type LaneKey } from '../replication-row.ts';
import { one } from '../sql.ts';

/** `blob_registry.state` as stored: the place in this list. */
const BLOB_STATES: readonly BlobState[] = ['pending', 'started', 'synced', 'failed', 'pruning'];
const stored = (state: BlobState): RawBuilder<number> =>
  sql.lit(BLOB_STATES.indexOf(state)) as RawBuilder<number>;
export const PENDING = stored('pending');
export const STARTED = stored('started');
export const SYNCED = stored('synced');
export const FAILED = stored('failed');
export const PRUNING = stored('pruning');
/** `blob_registry.verification_state` as stored. */
export const SUCCEEDED = sql.lit(2);
export const UNVERIFIED = sql.lit(3);

/**
 * The state that an event leaves, and that `r` is in a state that the event may find:
 * domain/replication.ts says which.
 */
export const to = (event: BlobEvent): RawBuilder<number> => stored(BLOB_TRANSITIONS[event].to);
export const from = (event: BlobEvent): RawBuilder<boolean> =>
  sql<boolean>`r.state in (${sql.join(BLOB_TRANSITIONS[event].from.map(stored))})`;

/** The archive of a lane, for the lock against prune. */
export async function archiveOf(tx: Tx, lane: LaneKey): Promise<number> {
  const row = await one(
    tx,
    sql<{
      id: number;
    }>`select archive_id as id from debian_distributions where id = ${lane.distributionId}`,
  );
  if (row === null) throw fenced('the distribution was removed');
  return row.id;
}

/** `m` and `b`: the immutable members of the lane's generation, to stand behind `from`. */
export const members = (lane: LaneKey): RawBuilder<unknown> => sql`
  (select blob_id from snapshot_blobs where distribution_id = ${lane.distributionId}
     and from_generation <= ${lane.generation} and to_generation > ${lane.generation}) m
  join blobs b on b.id = m.blob_id`;

/**
 * That `r` is of the lane's site. As a parameter that the planner does not see: it reckons with an
 * average site, and not with one of which statistics know no row yet, whose rows it would read from
 * end to end for each set.
 */
export const atSite = (lane: LaneKey): RawBuilder<unknown> =>
  sql`r.site_id = (select ${lane.siteId}::int)`;

/**
 * That `r.blob_id` is a member: for statements that take the first rows of the registry in the
 * order of an index. The limit keeps the planner from joining: it would look up all members for
 * each batch.
 */
export const isMember = (lane: LaneKey): RawBuilder<unknown> => sql`
  (select true from snapshot_blobs m where m.distribution_id = ${lane.distributionId} and m.blob_id = r.blob_id
     and m.from_generation <= ${lane.generation} and m.to_generation > ${lane.generation} limit 1)`;

/**
 * `b`, the blob with this id, to stand behind `cross join`; and the path with one. Row by row,
 * which the limit keeps: statistics are older than the rows while a site is filled or read back,
 * and by them the planner joins whole tables for each batch.
 */
export const blobOf = (id: RawBuilder<unknown>): RawBuilder<unknown> =>
  sql`lateral (select one.size, one.sha256 from blobs one where one.id = ${id} limit 1) b`;
export const pathOf = (id: RawBuilder<unknown>): RawBuilder<unknown> =>
  sql`(select p.path from paths p where p.id = ${id})`;

/**
 * That the claim on `r` is nobody's any more. A fence moves with every attempt, failure and cancel,
 * so an attempt that no working lane of this site holds is dead; a lane at rest keeps its last
 * fence, which may be the millisecond of a dead attempt of another. A claim newer than our own
 * attempt is left alone: it is of a lane that came after us, or we are the one overtaken.
 */
export const isDead = (lane: LaneKey): RawBuilder<unknown> => sql`
  (r.attempt < ${lane.attempt} and not exists (
     select 1 from distribution_replications o join debian_distributions d on d.id = o.distribution_id
     where o.site_id = r.site_id and o.fence = r.attempt and o.state = 'started' and o.distribution_id <> ${lane.distributionId} and not d.removed))`;

/** Counts what is settled and what there is, exactly, and writes it as the lane's progress. */
export async function recount(tx: Tx, lane: LaneKey): Promise<{ files: number; bytes: number }> {
  const counted = await one(
    tx,
    sql<{ files: number; bytes: number }>`
      with counted as (
        select count(*)::int as files, coalesce(sum(b.size), 0)::bigint as bytes,
          count(*) filter (where r.settled)::int as files_done, coalesce(sum(b.size) filter (where r.settled), 0)::bigint as bytes_done
        from ${members(lane)} left join blob_registry r on ${atSite(lane)} and r.path_id = b.path_id and r.blob_id = b.id)
      update distribution_replications
      set files_total = files, bytes_total = bytes, files_done = counted.files_done, bytes_done = counted.bytes_done
      from counted where distribution_id = ${lane.distributionId} and site_id = ${lane.siteId}
      returning files_total as files, bytes_total as bytes`,
  );
  return counted ?? { files: 0, bytes: 0 };
}

/** Moves the lane's progress by what was settled, or found rotten. @returns its row */
export async function moveProgress(
  tx: Tx,
  lane: LaneKey,
  by: { readonly files: number; readonly bytes: number },
): Promise<Replication> {
  const row = await one(
    tx,
    sql<Replication>`
      update distribution_replications r set files_done = r.files_done + ${by.files}, bytes_done = r.bytes_done + ${by.bytes}
      from replication_sites s, debian_distributions d
      where r.distribution_id = ${lane.distributionId} and r.site_id = ${lane.siteId} and s.id = r.site_id and d.id = r.distribution_id
      returning ${REPLICATION_COLUMNS}`,
  );
  if (row === null) throw fenced('the replication was removed');
  return row;
}

/** An incident for bytes at the site that are not the catalog's; the repair follows. */
export function recordCorrupt(
  tx: Tx,
  lane: LaneKey,
  blob: { path: string; expected: string; found: string },
): Promise<void> {
  const report: ErrorReport = {
    code: 'BLOB_CORRUPT',
    message: `the site holds other bytes at ${blob.path}`,
    expected: blob.expected,
    found: blob.found,
    state: 'repair begins at once',
  };
  return recordIncident(tx, { ...lane, path: blob.path, report });
}
