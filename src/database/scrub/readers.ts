/** What a scrub found readers to get. */
import { sql } from 'kysely';

import type { ErrorReport } from '../../domain/errors.ts';
import { OF_READERS, recordIncident } from '../incidents.ts';
import type { Database, Tx } from '../orm.ts';
import { all, one } from '../sql.ts';

/** An incident, with the path where readers get other bytes than there are at the site. */
export function recordForReaders(
  db: Database,
  siteId: number,
  blob: { readonly pathId: number; readonly blobId: number; readonly path: string },
  report: ErrorReport,
): Promise<void> {
  return db.transaction(async (tx) => {
    const distributionId = await namerOf(tx, blob);
    const path = report.code === 'SITE_SERVES_OTHER' ? blob.path : null;
    if (distributionId !== null) await recordIncident(tx, { distributionId, siteId, path, report });
  });
}

/** Paths of which readers got other bytes, as a pass found: the next one reads them again. */
export async function pathsToSample(tx: Tx, siteId: number): Promise<ReadonlySet<string>> {
  const open = await all(
    tx,
    sql<{ path: string }>`
      select path
      from incidents
      where site_id = ${siteId}
        and ${OF_READERS}
        and resolved_at is null`,
  );
  return new Set(open.map(({ path }) => path));
}

/** A distribution that names the blob, or else one of the same archive; null: there is none. */
export async function namerOf(
  tx: Tx,
  { pathId, blobId }: { readonly pathId: number; readonly blobId: number },
): Promise<number | null> {
  const found = await one(
    tx,
    sql<{ id: number }>`
      select d.id
      from debian_distributions d
      join paths p on p.archive_id = d.archive_id
      where p.id = ${pathId}
      order by
        exists (
          select
          from snapshot_blobs m
          where m.distribution_id = d.id
            and m.blob_id = ${blobId}
        ) desc,
        d.removed,
        d.id
      limit 1`,
  );
  return found?.id ?? null;
}
