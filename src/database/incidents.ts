/**
 * What went wrong, and what happened: the two records that operators read. Both are written by SQL:
 * the conflict target of an open incident is a partial index, which MikroORM cannot name, and an
 * event is one insert that no row is read for.
 */
import { sql, type RawBuilder } from 'kysely';

import { printableReport, type ErrorCode, type ErrorReport } from '../domain/errors.ts';
import { printableValue } from '../domain/text.ts';
import type { Tx } from './orm.ts';
import { run } from './sql.ts';

export interface NewIncident {
  readonly distributionId: number;
  readonly siteId?: number | null;
  readonly generation?: number | null;
  readonly path?: string | null;
  readonly report: ErrorReport;
}

/** Codes that say what the operator or a newer attempt did: no promise is broken. */
const NO_INCIDENT: readonly ErrorCode[] = ['SUPERSEDED', 'FENCED', 'CANCELLED'];

/**
 * Puts a refused release or a broken promise on record. While the same one (distribution, site,
 * code, path) is open, it is counted, not repeated.
 */
export async function recordIncident(tx: Tx, incident: NewIncident): Promise<void> {
  const { distributionId, siteId, generation, path } = incident;
  const report = printableReport(incident.report);
  if (NO_INCIDENT.includes(report.code)) return;
  await run(
    tx,
    sql`
      insert into incidents
        (distribution_id, site_id, generation, code, path, message, expected, found)
      values (
        ${distributionId}, ${siteId ?? null}, ${generation ?? null}, ${report.code},
        ${path ?? null}, ${report.message}, ${report.expected ?? null}, ${report.found ?? null})
      on conflict (distribution_id, site_id, code, path) where resolved_at is null
      do update set
        times = incidents.times + 1,
        last_at = now(),
        generation = excluded.generation,
        message = excluded.message,
        expected = excluded.expected,
        found = excluded.found`,
  );
}

/**
 * Ends the open incidents of a distribution at one site, or those of its captures (site null). No
 * fine look ends that of a release's age, or of a key's end; only a scrub ends that it is behind,
 * and what it found readers to get; only a prune, that a site deletes nothing.
 */
export async function resolveIncidents(
  tx: Tx,
  of: { distributionId: number; siteId: number | null },
  resolution: string,
): Promise<void> {
  await resolve(
    tx,
    sql<boolean>`distribution_id = ${of.distributionId}
      and site_id is not distinct from ${of.siteId}::int
      and code not in ('RELEASE_STALE', 'KEY_EXPIRES', 'SCRUB_BEHIND', 'BLOB_HELD')
      and not ${OF_READERS}`,
    resolution,
  );
}

/** A file that a scrub read as a reader does: lanes and their probes say so without a path. */
export const OF_READERS = sql<boolean>`(code = 'SITE_SERVES_OTHER' and path is not null)`;

/** Ends what the scrubs of a site before `since` found readers to get, and the last one did not. */
export const resolveOfReaders = (tx: Tx, siteId: number, since: RawBuilder<unknown>) =>
  resolve(
    tx,
    sql<boolean>`site_id = ${siteId}
      and ${OF_READERS}
      and last_at < ${since}`,
    'a later scrub found readers to get no such file',
  );

/** Ends that the site does not delete what nothing needs. */
export const resolveHeld = (tx: Tx, siteId: number): Promise<void> =>
  resolve(tx, sql<boolean>`site_id = ${siteId} and code = 'BLOB_HELD'`, 'the site has deleted it');

/** Ends the open incidents of wrong bytes at this path of a site. */
export const resolveCorrupt = (
  tx: Tx,
  at: { readonly distributionId: number; readonly siteId: number; readonly path: string },
  resolution: string,
): Promise<void> =>
  resolve(
    tx,
    sql<boolean>`site_id = ${at.siteId}
      and code = 'BLOB_CORRUPT'
      and path = ${at.path}
      and distribution_id in (
        select d.id
        from debian_distributions d
        join debian_distributions o on o.archive_id = d.archive_id
        where o.id = ${at.distributionId})`,
    resolution,
  );

/** Ends the open incident of this code, at a site or (none given) of captures. */
export async function resolveIncident(
  tx: Tx,
  of: { distributionId: number; siteId?: number; code: ErrorCode },
  resolution: string,
): Promise<void> {
  await resolve(
    tx,
    sql<boolean>`distribution_id = ${of.distributionId}
      and site_id is not distinct from ${of.siteId ?? null}::int
      and code = ${of.code}`,
    resolution,
  );
}

async function resolve(tx: Tx, which: RawBuilder<boolean>, resolution: string): Promise<void> {
  await run(
    tx,
    sql`
      update incidents
      set resolved_at = now(), resolution = ${resolution}
      where ${which}
        and resolved_at is null`,
  );
}

/**
 * Adds to the record of what happened.
 * @param beside what the same statement writes, for `with`
 */
export async function recordEvent(
  tx: Tx,
  event: {
    readonly distributionId: number;
    readonly siteId?: number | null;
    readonly generation?: number | null;
    readonly what: string;
    readonly facts?: Readonly<Record<string, unknown>>;
  },
  beside?: RawBuilder<unknown>,
): Promise<void> {
  const { distributionId, siteId, generation, what, facts } = event;
  await run(
    tx,
    sql`
      ${beside === undefined ? sql`` : sql`with ${beside}`}
      insert into distribution_events (distribution_id, site_id, generation, what, facts)
      values (
        ${distributionId}, ${siteId ?? null}, ${generation ?? null}, ${what},
        ${JSON.stringify(printableValue(facts ?? {}))}::jsonb)`,
  );
}
