/** The row of a lane as workflows decide on it, and how a lane is named: by names or by ids. */
import { sql, type RawBuilder } from 'kysely';

import type { Replication } from '../domain/replication.ts';
import { nextTicket } from './claims.ts';
import { fenced } from './fence.ts';
import type { Tx } from './orm.ts';
import { ms, msUntil, one } from './sql.ts';

/** A lane as operators and workflows name it. */
export interface LaneAt {
  readonly distribution: string;
  readonly site: string;
}

/** A lane as rows refer to it. */
export interface LaneIds {
  readonly distributionId: number;
  readonly siteId: number;
}

/** A lane at work. */
export interface LaneKey extends LaneIds {
  readonly generation: number;
  /** Of the row that the workflow decided on. */
  readonly ticket: number;
  /** The row of `claims` that this attempt has, or had. */
  readonly claim: number;
}

const QUEUE_PREFIX = 'debgeo-site-';

/** The task queue of a site: its worker group's, or its own. */
export const queueOf = (site: {
  readonly name: string;
  readonly workerGroup?: string | null | undefined;
}): string => QUEUE_PREFIX + (site.workerGroup ?? site.name);

/** The same of the site `s`, in SQL. */
export const QUEUE = sql<string>`${sql.lit(QUEUE_PREFIX)} || coalesce(s.worker_group, s.name)`;

/** The task queue of captures of the archive `a`, in SQL. */
export const ARCHIVE_QUEUE = sql<string>`'debgeo-archive-' || a.name`;

/** Since when incidents of `d` are open, at the site `r.site_id` or (null) at the archive. */
export const failedSince = (site: RawBuilder<unknown>): RawBuilder<number | null> => sql`(
    select ${ms(sql`min(i.first_at)`)}
    from incidents i
    where i.distribution_id = d.id
      and i.site_id is not distinct from ${site}
      and i.resolved_at is null)`;

/** That a publication of `r` is open: between the first published name and InRelease. */
const IS_PUBLISHING = sql<boolean>`exists (
    select from publications p
    where p.distribution_id = r.distribution_id
      and p.site_id = r.site_id
      and p.published_at is null
      and p.given_up_at is null)`;

const ofClaims = (column: 'files' | 'bytes') => sql`
  coalesce((
    select sum(${sql.ref(`c.${column}`)})
    from claims c
    where c.distribution_id = r.distribution_id
      and c.site_id = r.site_id), 0)`;

/** Of `r`: what is settled of its generation, what attempts at work have settled included. */
export const FILES_DONE = sql<number>`(r.files_done + ${ofClaims('files')})::int`;
export const BYTES_DONE = sql<number>`(r.bytes_done + ${ofClaims('bytes')})::bigint`;

/** A `Replication`, of `r`, its site `s` and its distribution `d`. */
export const REPLICATION_COLUMNS = sql`
  s.name as site, ${QUEUE} as queue,
  r.desired_generation as target, r.pinned_generation as pinned, r.served_generation as served,
  r.state, r.paused, ${IS_PUBLISHING} as publishing,
  ${ms(sql`coalesce(r.verify_taken_at, r.verify_requested_at)`)} as "verifyRequestedAt",
  r.retry_count as "retryCount", ${ms('r.retry_at')} as "retryAt",
  ${msUntil('r.retry_at')} as "retryInMs", r.failure_code as code,
  case when r.state = 'failed' then ${failedSince(sql`r.site_id`)} end as "failedSince",
  ${FILES_DONE} as "filesDone", r.files_total as "filesTotal",
  ${BYTES_DONE} as "bytesDone", r.bytes_total as "bytesTotal",
  d.replication_status as "distributionStatus", r.rev, ${nextTicket('r.fence')} as ticket`;

/**
 * The lane's row; in a transaction, as it leaves it.
 * @throws FENCED the distribution is not replicated to the site any more
 */
export async function readReplication(tx: Tx, lane: LaneIds): Promise<Replication> {
  const row = await one(
    tx,
    sql<Replication>`
      select ${REPLICATION_COLUMNS}
      from distribution_replications r
      join replication_sites s on s.id = r.site_id
      join debian_distributions d on d.id = r.distribution_id
      where r.distribution_id = ${lane.distributionId}
        and r.site_id = ${lane.siteId}`,
  );
  if (row === null) throw fenced('the replication was removed');
  return row;
}
