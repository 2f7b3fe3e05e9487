/**
 * The row of a site's scrub: what its workflow decides on. Each writer answers with the row that it
 * commits.
 *
 * Locks: distributions, lanes, then the row of the scrub, then claims and blobs.
 */
import { sql, type RawBuilder } from 'kysely';

import { DebgeoError, printableReport, type ErrorReport } from '../../domain/errors.ts';
import type { SiteScrub } from '../../domain/replication.ts';
import { dropClaims, endClaim, laterFence, nextTicket, SCRUB, takeClaim } from '../claims.ts';
import { Scrub } from '../entities/scrub.ts';
import type { Database, Tx } from '../orm.ts';
import { bookkeeping } from '../patience.ts';
import { QUEUE } from '../replication-row.ts';
import { backoffOf, retryAfterOf } from '../replications/waits.ts';
import { later, ms, msUntil, one, run } from '../sql.ts';
import { retryRotten } from './repairs.ts';

/** An attempt that scrubs a site. */
export interface ScrubClaim {
  readonly siteId: number;
  /** Its row of `claims`. */
  readonly claim: number;
}

/** Where a pass stands. */
export interface Cursor {
  /** The last blob that was read, in the order of path ids. */
  readonly pathId: number;
  /** The last published name that was read, in the order of both. */
  readonly distributionId: number;
  readonly name: string;
}

/** A slice that has begun. */
export interface Scrubbing {
  readonly key: ScrubClaim;
  readonly row: SiteScrub;
  readonly cursor: Cursor;
  /** Within which the pass is to end; null: as soon as it can. */
  readonly intervalMs: number | null;
  /** Since the pass began, by the database's clock, when the slice began. */
  readonly elapsedMs: number;
  /** Of the site, for each worker; null: no limit. */
  readonly bytesPerSecond: number | null;
}

/** A site that is not there is not scrubbed. */
export const loadScrub = (db: Database, site: string): Promise<SiteScrub> =>
  readScrub(db.read, site);

/** Of `c`, the scrub of the site `s`: that there is something to do for it. */
const IS_ON = sql<boolean>`(
  s.enabled and not s.paused and (c.interval_ms is not null or c.asked_at is not null))`;

/** A `SiteScrub`, of `c` and its site `s`, but for the ticket. */
export const SCRUB_COLUMNS: RawBuilder<unknown> = sql`
  s.name as site, ${QUEUE} as queue,
  case when ${IS_ON} then ${ms('c.next_at')} end as "nextAt",
  case when ${IS_ON} then ${msUntil('c.next_at')} end as "nextInMs",
  ${ms('c.started_at')} as "startedAt", ${ms('c.ended_at')} as "endedAt",
  ${ms('c.last_started_at')} as "lastStartedAt",
  c.files_total as "filesTotal", c.bytes_total as "bytesTotal", c.files, c.bytes,
  c.wrong, c.repaired, c.failure_code as code`;

export async function readScrub(tx: Tx, site: string): Promise<SiteScrub> {
  const found = await one(
    tx,
    sql<SiteScrub>`
      select ${SCRUB_COLUMNS}, ${nextTicket('c.fence')} as ticket
      from scrubs c
      join replication_sites s on s.id = c.site_id
      where s.name = ${site}`,
  );
  return found ?? noScrub(site);
}

const noScrub = (site: string): SiteScrub => ({
  site,
  queue: '',
  nextAt: null,
  startedAt: null,
  endedAt: null,
  lastStartedAt: null,
  filesTotal: 0,
  bytesTotal: 0,
  files: 0,
  bytes: 0,
  wrong: 0,
  repaired: 0,
  code: null,
});

/**
 * A slice begins: its claim ends those of all before it, as that of a lane does. Where no pass is
 * in work, or one is asked for that begins after this one did, a pass begins.
 * @param ticket of the row that the workflow decided on
 * @returns `idle`: there is nothing to do, or a newer ticket came before: this row says so
 * @throws FENCED this attempt or a later one of the same slice began before
 * @throws NAME_UNKNOWN
 */
export function startScrubbing(
  db: Database,
  site: string,
  ticket: number | null,
  attempt: number,
): Promise<Scrubbing | { readonly idle: SiteScrub }> {
  return db.transaction(async (tx) => {
    const locked = await lockScrub(tx, site);
    if (locked === null) throw new DebgeoError('NAME_UNKNOWN', `there is no site ${site}`);
    const { siteId, fence, next } = locked;
    if (ticket !== null && fence > ticket) return { idle: await readScrub(tx, site) };
    if (!locked.isOn) return { idle: await readScrub(tx, site) };
    const of = { siteId, distributionId: null, part: SCRUB };
    const { id: claim } = await takeClaim(tx, of, { ticket: ticket ?? next, attempt });
    await tx.em.nativeUpdate(Scrub, { site: siteId }, { fence: ticket ?? next });
    if (locked.isToBegin) await beginPass(tx, siteId);
    if (locked.isToBegin) await retryRotten(tx, siteId);
    return {
      key: { siteId, claim },
      row: await readScrub(tx, site),
      ...(await readWork(tx, siteId)),
    };
  });
}

/** With the ticket behind its fence. */
const lockScrub = (tx: Tx, site: string) =>
  one(
    tx,
    sql<{ siteId: number; fence: number; next: number; isOn: boolean; isToBegin: boolean }>`
      select c.site_id as "siteId", c.fence, ${nextTicket('c.fence')} as next,
        ${IS_ON} as "isOn",
        c.started_at is null or c.ended_at is not null or c.asked_at > c.started_at as "isToBegin"
      from scrubs c
      join replication_sites s on s.id = c.site_id
      where s.name = ${site}
      for no key update of c`,
  );

/** What lanes have verified since it began need not be read, and counts as if it were. */
async function beginPass(tx: Tx, siteId: number): Promise<void> {
  await run(
    tx,
    sql`
      update scrubs
      set started_at = now(),
        ended_at = null,
        path_id = 0,
        distribution_id = 0,
        name = '',
        files = 0,
        bytes = 0,
        wrong = 0,
        repaired = 0,
        files_total = blobs.files + names.files,
        bytes_total = blobs.bytes
      from (
          select count(*)::int as files, coalesce(sum(b.size), 0)::bigint as bytes
          from blob_registry r
          join blobs b on b.id = r.blob_id
          where r.site_id = ${siteId}
            and r.settled
        ) blobs,
        (
          select count(*)::int as files
          from published_names
          where site_id = ${siteId}
            and sha256 is not null
        ) names
      where site_id = ${siteId}`,
  );
}

const readWork = async (
  tx: Tx,
  siteId: number,
): Promise<Pick<Scrubbing, 'cursor' | 'intervalMs' | 'elapsedMs' | 'bytesPerSecond'>> => {
  const { pathId, distributionId, name, ...work } = (await one(
    tx,
    sql<Cursor & Pick<Scrubbing, 'intervalMs' | 'elapsedMs' | 'bytesPerSecond'>>`
      select c.path_id as "pathId", c.distribution_id as "distributionId", c.name,
        case when c.asked_at is null then c.interval_ms end as "intervalMs",
        (extract(epoch from now() - c.started_at) * 1000)::bigint as "elapsedMs",
        s.bytes_per_second as "bytesPerSecond"
      from scrubs c
      join replication_sites s on s.id = c.site_id
      where c.site_id = ${siteId}`,
  ))!;
  return { cursor: { pathId, distributionId, name }, ...work };
};

/**
 * The slice has ended, its pass has not: what it still claims is free.
 * @param wait until the next slice begins, milliseconds
 */
export function endScrubbing(
  db: Database,
  site: string,
  { siteId, claim }: ScrubClaim,
  wait: number,
): Promise<SiteScrub> {
  return db.transaction(async (tx) => {
    await run(
      tx,
      sql`
        with ended as (
          delete from claims
          where id = ${claim}
          returning id
        )
        update scrubs
        set next_at = now() + ${wait} * interval '1 millisecond',
          failure_code = null,
          failure = null,
          failure_count = 0
        where site_id = ${siteId}
          and exists (select from ended)`,
    );
    return readScrub(tx, site);
  });
}

/** The slice has not ended well: what it claims is free, and the row as it was. */
export const giveUpScrubbing = (db: Database, key: ScrubClaim): Promise<unknown> =>
  endClaim(db.read, key);

/**
 * The slice failed and is tried again, ever later; the pass goes on at its cursor.
 * @param ticket the newest that the workflow holds, null: none. Where the fence is beyond it,
 *   another slice began, or this failure is on record: nothing changes
 */
export function recordScrubFailure(
  db: Database,
  site: string,
  report: ErrorReport,
  ticket: number | null,
): Promise<SiteScrub> {
  return bookkeeping(db, async (tx) => {
    const locked = await lockScrub(tx, site);
    if (locked === null) return noScrub(site);
    const { siteId, fence } = locked;
    if (ticket !== null && fence > ticket) return readScrub(tx, site);
    await dropClaims(tx, { siteId, distributionId: null, part: SCRUB });
    const { failureCount } = (await tx.em.findOne(Scrub, { site: siteId }))!;
    const wait = Math.max(backoffOf(failureCount + 1), retryAfterOf(report));
    await tx.em.nativeUpdate(
      Scrub,
      { site: siteId },
      {
        fence: laterFence(ticket),
        failureCode: report.code,
        failure: printableReport(report),
        failureCount: failureCount + 1,
        nextAt: later(wait),
      },
    );
    return readScrub(tx, site);
  });
}
