import { sql } from 'kysely';

import type { ErrorCode, ErrorReport } from '../domain/errors.ts';
import type { Tx } from './orm.ts';
import { run } from './sql.ts';

export interface NewIncident {
  readonly distributionId: number;
  readonly siteId?: number | null;
  readonly generation?: number | null;
  readonly path?: string | null;
  readonly report: ErrorReport;
}

/**
 * Puts a refused release or a broken promise on record. While the same one (distribution, site,
 * code, path) is open, it is counted, not repeated.
 */
export async function recordIncident(tx: Tx, incident: NewIncident): Promise<void> {
  const { report } = incident;
  await run(
    tx,
    sql`
    insert into incidents (distribution_id, site_id, generation, code, path, message, expected, found)
    values (${incident.distributionId}, ${incident.siteId ?? null}, ${incident.generation ?? null}, ${report.code}, ${incident.path ?? null},
            ${report.message}, ${report.expected ?? null}, ${report.found ?? null})
    on conflict (distribution_id, site_id, code, path) where resolved_at is null
    do update set times = incidents.times + 1, last_at = now(), generation = excluded.generation, message = excluded.message,
                  expected = excluded.expected, found = excluded.found`,
  );
}

/**
 * Ends the open incidents of a distribution at one site, or those of its captures (site null): all
 * but that of a release's age, which no fine look ends.
 */
export async function resolveIncidents(
  tx: Tx,
  of: { distributionId: number; siteId: number | null },
  resolution: string,
): Promise<void> {
  await run(
    tx,
    sql`
    update incidents set resolved_at = now(), resolution = ${resolution}
    where distribution_id = ${of.distributionId} and site_id is not distinct from ${of.siteId}::int and resolved_at is null
      and code <> 'RELEASE_STALE'`,
  );
}

/** Ends the open incident of this code, of captures. */
export async function resolveIncident(
  tx: Tx,
  of: { distributionId: number; code: ErrorCode },
  resolution: string,
): Promise<void> {
  await run(
    tx,
    sql`
    update incidents set resolved_at = now(), resolution = ${resolution}
    where distribution_id = ${of.distributionId} and site_id is null and code = ${of.code} and resolved_at is null`,
  );
}

/** Adds to the record of what happened. */
export async function recordEvent(
  tx: Tx,
  event: {
    readonly distributionId: number;
    readonly siteId?: number | null;
    readonly generation?: number | null;
    readonly what: string;
    readonly facts?: Readonly<Record<string, unknown>>;
  },
): Promise<void> {
  await run(
    tx,
    sql`
    insert into distribution_events (distribution_id, site_id, generation, what, facts)
    values (${event.distributionId}, ${event.siteId ?? null}, ${event.generation ?? null}, ${event.what}, ${JSON.stringify(event.facts ?? {})}::jsonb)`,
  );
}
