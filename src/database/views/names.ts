/** Names that an operator gives, looked up. */
import { sql } from 'kysely';

import { DebgeoError } from '../../domain/errors.ts';
import { type Database, type Tx } from '../orm.ts';
import { one } from '../sql.ts';

/** @throws NAME_UNKNOWN */
export async function findSite(
  tx: Tx,
  name: string,
): Promise<{ readonly id: number; readonly name: string }> {
  const found = await one(
    tx,
    sql<{ id: number; name: string }>`
      select id, name
      from replication_sites
      where name = ${name}`,
  );
  if (found === null) throw new DebgeoError('NAME_UNKNOWN', `there is no site ${name}`);
  return found;
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
