import { sql } from 'kysely';

import type { Tx } from '../orm.ts';
import { run } from '../sql.ts';

/**
 * Gives each site the row of its scrub. Where the interval is another than before, it counts from
 * now, and so it does for a site that is enabled again: nothing is behind at once, and a pass that
 * was in work begins anew. Each site begins at another time within a tenth of the interval.
 */
export async function restartScrubs(tx: Tx): Promise<void> {
  await run(
    tx,
    sql`
      insert into scrubs (site_id, interval_ms, next_at)
      select s.id,
        case when s.enabled then s.scrub_interval_ms end,
        now() + random() * coalesce(s.scrub_interval_ms, 0) / 10 * interval '1 millisecond'
      from replication_sites s
      on conflict (site_id) do update set
        interval_ms = excluded.interval_ms,
        since = now(),
        ended_at = coalesce(scrubs.ended_at, now()),
        next_at = excluded.next_at
      where scrubs.interval_ms is distinct from excluded.interval_ms`,
  );
}
