import { sql } from 'kysely';

import { DistributionReplication } from '../entities/distribution-replication.ts';
import type { Tx } from '../orm.ts';
import { rollUp } from '../replications/roll-up.ts';
import { run } from '../sql.ts';

/**
 * One replication per site. A site that comes back takes up what it serves and an open publication,
 * so that it goes neither backwards nor into another generation halfway (I1, I3).
 * @returns whether a replication was added or taken away
 */
export async function replicateTo(
  tx: Tx,
  distributionId: number,
  siteIds: readonly number[],
): Promise<boolean> {
  const gone = await tx.em.nativeDelete(DistributionReplication, {
    distribution: distributionId,
    site: { $nin: [...siteIds] },
  });
  // In SQL: each new row is computed from the rows of publications.
  const come = await run(
    tx,
    sql`
      insert into distribution_replications
        (distribution_id, site_id, desired_generation, served_generation, pinned_generation)
      select d.id, s.id, d.latest_generation,
        coalesce(max(p.generation) filter (where p.published_at is not null), 0),
        max(p.generation) filter (where p.published_at is null and p.given_up_at is null)
      from debian_distributions d
      cross join replication_sites s
      left join publications p on p.distribution_id = d.id and p.site_id = s.id
      where d.id = ${distributionId}
        and s.id = any(${[...siteIds]}::int[])
      group by d.id, s.id
      on conflict do nothing`,
  );
  if (gone + come > 0) await rollUp(tx, distributionId);
  return gone + come > 0;
}
