/** Sites as configured, by name. */
import { sql } from 'kysely';

import { DebgeoError } from '../../domain/errors.ts';
import { ReplicationSite } from '../entities/replication-site.ts';
import type { Database, Tx } from '../orm.ts';
import { one } from '../sql.ts';

/** @throws NAME_UNKNOWN */
export async function readSite(tx: Tx, name: string): Promise<ReplicationSite> {
  const site = await tx.em.findOne(ReplicationSite, { name });
  if (site === null) throw new DebgeoError('NAME_UNKNOWN', `there is no site ${name}`);
  return site;
}

/** The enabled sites of a distribution, the primary first; null: there is no such distribution. */
export async function listSitesOf(
  database: Database,
  distribution: string,
): Promise<string[] | null> {
  const found = await one(
    database.read,
    sql<{ sites: string[] }>`
      select array(
        select s.name
        from distribution_replications r
        join replication_sites s on s.id = r.site_id
        where r.distribution_id = d.id
          and s.enabled
        order by s.id is distinct from d.replication_site_id, s.name
      ) as sites
      from debian_distributions d
      where d.name = ${distribution}
        and not d.removed`,
  );
  return found?.sites ?? null;
}
