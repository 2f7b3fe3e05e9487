/** What `status`, `scrub`, `apply` and `doctor` show of the scrubs of sites. Reads only. */
import { sql } from 'kysely';

import type { ErrorReport } from '../../domain/errors.ts';
import type { SiteScrub } from '../../domain/replication.ts';
import type { Database } from '../orm.ts';
import { isOverdue } from '../scrub/overdue.ts';
import { SCRUB_COLUMNS } from '../scrub/scrubs.ts';
import { all, ms } from '../sql.ts';

/** What an operator sees of the scrub of a site. Times are milliseconds since 1970. */
export interface ScrubStatus extends SiteScrub {
  readonly paused: boolean;
  /** Null: off. */
  readonly intervalMs: number | null;
  /** When it was switched on, or its interval changed. */
  readonly since: number;
  /** The last complete pass began longer ago than twice the interval. */
  readonly overdue: boolean;
  readonly failure: ErrorReport | null;
}

/** What a pass over a site reads, as the site is now. */
export interface ScrubCost {
  readonly site: string;
  /** Null: off. */
  readonly intervalMs: number | null;
  readonly files: number;
  readonly bytes: number;
}

/** Of each enabled site, or of one, by name. */
export const readScrubs = (db: Database, site?: string): Promise<ScrubStatus[]> =>
  all(
    db.read,
    sql<ScrubStatus>`
      select ${SCRUB_COLUMNS},
        s.paused,
        c.interval_ms as "intervalMs",
        ${ms('c.since')} as since,
        ${isOverdue(sql`s.id`)} as overdue,
        c.failure
      from scrubs c
      join replication_sites s on s.id = c.site_id
      where s.enabled
        and (${site ?? null}::text is null or s.name = ${site ?? null})
      order by s.name`,
  );

/** Of each enabled site, or of one, by name. Counts all that they have. */
export const readScrubCosts = (db: Database, site?: string): Promise<ScrubCost[]> =>
  all(
    db.read,
    sql<ScrubCost>`
      select s.name as site,
        c.interval_ms as "intervalMs",
        count(b.id)::int as files,
        coalesce(sum(b.size), 0)::bigint as bytes
      from scrubs c
      join replication_sites s on s.id = c.site_id
      left join blob_registry r on r.site_id = s.id and r.settled
      left join blobs b on b.id = r.blob_id
      where s.enabled
        and (${site ?? null}::text is null or s.name = ${site ?? null})
      group by s.name, c.interval_ms
      order by s.name`,
  );
