/** Which sites are overdue to be read back. */
import { sql, type RawBuilder } from 'kysely';

/**
 * That the last complete pass of a site began longer ago than twice the interval; counted from when
 * its scrub was switched on, at the earliest. By the database's clock, at the moment of asking.
 */
export const isOverdue = (siteId: RawBuilder<unknown>): RawBuilder<boolean> => sql<boolean>`
  exists (
    select
    from scrubs c
    where c.site_id = ${siteId}
      and greatest(c.last_started_at, c.since)
        < now() - 2 * c.interval_ms * interval '1 millisecond'
  )`;
