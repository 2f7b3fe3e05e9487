/** Other sites that a blob can be read from. */
import { sql } from 'kysely';

import type { Tx } from '../orm.ts';
import { all } from '../sql.ts';
import type { WantedBlob } from './claims.ts';

/** Enabled sites whose copy is verified, without the blob's own site; the primary comes first. */
export async function verifiedSitesOf(tx: Tx, blob: WantedBlob): Promise<string[]> {
  const found = await all(
    tx,
    sql<{ name: string }>`
      select s.name
      from blob_registry r
      join replication_sites s on s.id = r.site_id
      left join debian_distributions d
        on d.id = ${blob.distributionId} and d.replication_site_id = s.id
      where r.path_id = ${blob.pathId}
        and r.blob_id = ${blob.blobId}
        and r.settled
        and s.enabled
        and s.id <> ${blob.siteId}
      order by d.id is null, s.name`,
  );
  return found.map((row) => row.name);
}
