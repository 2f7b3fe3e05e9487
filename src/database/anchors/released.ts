/** A site that is given back to whichever deployment claims it next. */
import { sql } from 'kysely';

import { recordEvent } from '../incidents.ts';
import type { Database, Tx } from '../orm.ts';
import { all } from '../sql.ts';
import { bookSite } from './site-anchors.ts';

/** Distributions that the site serves for this database, or shall serve. */
export async function listServed(tx: Tx, siteId: number): Promise<string[]> {
  const rows = await all(
    tx,
    sql<{ name: string }>`
      select d.name
      from distribution_replications r
      join debian_distributions d on d.id = r.distribution_id
      join replication_sites s on s.id = r.site_id
      where r.site_id = ${siteId}
        and s.enabled
        and not d.removed
      order by d.name`,
  );
  return rows.map(({ name }) => name);
}

/** Forgets S and H of the site, on record for each distribution that was replicated there. */
export function bookReleased(
  db: Database,
  siteId: number,
  facts: { readonly reason: string; readonly by: string },
): Promise<void> {
  return db.transaction(async (tx) => {
    const heads = await all(
      tx,
      sql<{ distributionId: number }>`
        delete from site_heads
        where site_id = ${siteId}
        returning distribution_id as "distributionId"`,
    );
    await bookSite(tx, siteId, null);
    for (const { distributionId } of heads)
      await recordEvent(tx, { distributionId, siteId, what: 'site released', facts });
  });
}
