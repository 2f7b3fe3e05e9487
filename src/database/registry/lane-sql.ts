/**
 * SQL that several statements on the registry share: states of a blob, members of the generation
 * of a lane.
 *
 * The registry (`blob_registry`) says what each site has, and is also the plan: one row per site
 * and immutable path. All distributions of an archive share the rows of a site, so every write is
 * conditional on the claim of its own attempt (or, for a blob that is only read, on the ETag that
 * was read), and on the row of that claim: a late result changes nothing. Claims are for
 * efficiency; what keeps bytes safe are the conditions on the writes at the site.
 *
 * Aliases mean the same in every statement of this folder:
 *
 * | alias | row of | |
 * |---|---|---|
 * | `r` | `blob_registry` | a path at the site, and its claim |
 * | `c` | `claims` | of an attempt that is at work |
 * | `m` | `snapshot_blobs` | a member of the lane's generation |
 * | `b` | `blobs` | the blob that the catalog wants there |
 * | `p` | `paths` | its path |
 * | `u` | arrays | what was read back, or failed, one element per blob |
 * | `o` | the table at hand | other rows of it: of another distribution |
 * | `d`, `s` | `debian_distributions`, `replication_sites` | of the lane |
 */
import { sql, type RawBuilder } from 'kysely';

import { BLOB_TRANSITIONS, type BlobEvent, type BlobState } from '../../domain/replication.ts';
import type { LaneKey } from '../replication-row.ts';

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

/** The state that an event leaves: domain/replication.ts says which. */
export const to = (event: BlobEvent): RawBuilder<number> => stored(BLOB_TRANSITIONS[event].to);
/** Of `r`: that it is in a state that the event may find. */
export const from = (event: BlobEvent): RawBuilder<boolean> =>
  sql<boolean>`r.state in (${sql.join(BLOB_TRANSITIONS[event].from.map(stored))})`;

/** To stand behind `from`; gives `m` and `b`: the members of the lane's generation. */
export const members = (lane: LaneKey): RawBuilder<unknown> => sql`
  (
    select blob_id
    from snapshot_blobs
    where distribution_id = ${lane.distributionId}
      and from_generation <= ${lane.generation}
      and to_generation > ${lane.generation}
  ) m
  join blobs b on b.id = m.blob_id`;

/**
 * Of `r`: that it is of the lane's site. As a parameter that the planner does not see: it reckons
 * with an average site, and not with one of which statistics know no row yet, whose rows it would
 * read from end to end for each set.
 */
export const atSite = (lane: LaneKey): RawBuilder<unknown> =>
  sql`r.site_id = (select ${lane.siteId}::int)`;

/**
 * Of `r`: that its blob is a member. For statements that take the first rows of the registry in the
 * order of an index. The limit keeps the planner from joining: it would look up all members for
 * each batch.
 */
export const isMember = (lane: LaneKey): RawBuilder<unknown> => sql`
  (
    select true
    from snapshot_blobs m
    where m.distribution_id = ${lane.distributionId}
      and m.blob_id = r.blob_id
      and m.from_generation <= ${lane.generation}
      and m.to_generation > ${lane.generation}
    limit 1
  )`;

/**
 * To stand behind `cross join`; gives `b`, the blob with this id. Row by row, which the limit
 * keeps: statistics are older than the rows while a site is filled or read back, and by them the
 * planner joins whole tables for each batch.
 */
export const blobOf = (id: RawBuilder<unknown>): RawBuilder<unknown> => sql`
  lateral (
    select one.size, one.sha256
    from blobs one
    where one.id = ${id}
    limit 1
  ) b`;
/** The path with this id, as a value; row by row, as `blobOf`. */
export const pathOf = (id: RawBuilder<unknown>): RawBuilder<unknown> =>
  sql`(select p.path from paths p where p.id = ${id})`;
