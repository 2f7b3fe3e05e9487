/** What an operator wishes of a site, committed: its workflow reads it in the rows. */
import { sql } from 'kysely';

import type { Database } from '../orm.ts';
import { run } from '../sql.ts';

/**
 * A pass begins now, and reads without pauses between its slices; one that is in work begins anew.
 * Also where the scrub is switched off: then it is this one pass.
 */
export const askScrub = (db: Database, site: string): Promise<unknown> =>
  run(
    db.read,
    sql`
      update scrubs
      set asked_at = now(), next_at = now()
      where site_id = (select id from replication_sites where name = ${site})`,
  );

/** While a site is paused, it is neither scrubbed nor pruned; lanes go on. */
export const pauseSite = (db: Database, site: string, paused: boolean): Promise<unknown> =>
  run(
    db.read,
    sql`
      update replication_sites
      set paused = ${paused}
      where name = ${site}`,
  );
