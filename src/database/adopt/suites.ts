/** What an adopt begins with: the distributions that are replicated to a site, and whose it is. */
import { sql } from 'kysely';

import type { Deployment } from '../../domain/deployment.ts';
import { readDistribution, type DistributionRecord } from '../catalog/distributions.ts';
import type { Tx } from '../orm.ts';
import { all, run } from '../sql.ts';

/** In the order of their ids, in which they are locked. */
export async function listReplicated(tx: Tx, siteId: number): Promise<DistributionRecord[]> {
  const rows = await all(
    tx,
    sql<{ name: string }>`
      select d.name
      from distribution_replications r
      join debian_distributions d on d.id = r.distribution_id
      where r.site_id = ${siteId}
        and not d.removed
      order by d.id`,
  );
  const records = await Promise.all(rows.map(({ name }) => readDistribution(tx, name)));
  return records.filter((record) => record !== null);
}

/**
 * This database was restored from one backup twice: it becomes later than the one whose epoch was
 * found. Idempotent.
 */
export const passEpoch = (tx: Tx, found: Deployment): Promise<unknown> =>
  run(
    tx,
    sql`
      update deployment
      set epoch = greatest(epoch, ${found.epoch}::int + 1)
      where id = ${found.id}`,
  );
