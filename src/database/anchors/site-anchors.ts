/** S: whether a site is this database's, as far as the rows say. */
import { sql } from 'kysely';

import type { Deployment } from '../../domain/deployment.ts';
import type { Tx } from '../orm.ts';
import { SYNCED } from '../registry/lane-sql.ts';
import { one, run } from '../sql.ts';

export interface SiteClaim {
  readonly deployment: Deployment;
  /** Of S, as it was written or read last; null: the site is not claimed. */
  readonly etag: string | null;
  /**
   * Something that this database has written, or adopted, stands there, perhaps by a version
   * without S.
   */
  readonly hasWritten: boolean;
}

export async function readSiteClaim(tx: Tx, siteId: number): Promise<SiteClaim> {
  const found = await one(
    tx,
    sql<Deployment & Omit<SiteClaim, 'deployment'>>`
      select d.id, d.epoch, s.anchor_etag as etag,
        exists (
          select
          from blob_registry r
          where r.site_id = s.id
            and (r.etag is not null or r.state = ${SYNCED})
        ) as "hasWritten"
      from deployment d
      cross join replication_sites s
      where s.id = ${siteId}`,
  );
  const { id, epoch, ...claim } = found!;
  return { ...claim, deployment: { id, epoch } };
}

/** In SQL: many lanes may come to a new site at once, and the last one to read S is right. */
export const bookSite = (tx: Tx, siteId: number, etag: string | null): Promise<unknown> =>
  run(
    tx,
    sql`
      update replication_sites
      set anchor_etag = ${etag}
      where id = ${siteId}`,
  );
