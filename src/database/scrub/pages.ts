/** What a pass reads next, page by page behind its cursor. */
import { sql } from 'kysely';

import type { RepoPath } from '../../domain/repo-path.ts';
import type { Sha256 } from '../../domain/sha256.ts';
import type { Tx } from '../orm.ts';
import { blobOf, pathOf, SYNCED } from '../registry/lane-sql.ts';
import { all } from '../sql.ts';
import { IS_OF_NO_LANE } from './repairs.ts';
import type { Cursor } from './scrubs.ts';

interface Placed {
  readonly mount: string;
  /** Relative to the archive's root. */
  readonly path: RepoPath;
  readonly etag: string | null;
}

/** A blob that is to be read back, with the ETag of its row. */
export interface BlobToScrub extends Placed {
  readonly pathId: number;
  readonly blobId: number;
  readonly size: number;
  readonly sha256: Sha256;
  /** It was verified, and is not believed any more (anchors/distrust.ts). */
  readonly isDoubted: boolean;
}

/** The same of a published name. */
export interface NameToScrub extends Placed {
  readonly distributionId: number;
  readonly sha256: Sha256;
}

/**
 * Blobs that the site is to have, verified before the pass began, or not believed any more and of
 * no lane; in the order of their path ids. Others are the work of a lane or of prune.
 */
export function blobsToScrub(
  tx: Tx,
  siteId: number,
  { pathId }: Cursor,
  limit: number,
): Promise<BlobToScrub[]> {
  // The page first, then its blobs and paths row by row, as in checksums.ts.
  return all(
    tx,
    sql<BlobToScrub>`
      with page as materialized (
        select r.path_id, r.blob_id, r.etag, not r.settled as is_doubted
        from blob_registry r
        join scrubs c on c.site_id = r.site_id
        where r.site_id = (select ${siteId}::int)
          and r.path_id > ${pathId}
          and r.verified_at < c.started_at
          and (r.settled or r.state = ${SYNCED} and ${IS_OF_NO_LANE})
        order by r.path_id
        limit ${limit}
      )
      select page.path_id as "pathId",
        page.blob_id as "blobId",
        page.etag,
        page.is_doubted as "isDoubted",
        b.size,
        encode(b.sha256, 'hex') as sha256,
        ${pathOf(sql`page.path_id`)} as path,
        (
          select a.mount
          from paths p
          join archives a on a.id = p.archive_id
          where p.id = page.path_id
        ) as mount
      from page
      cross join ${blobOf(sql`page.blob_id`)}
      order by page.path_id`,
  );
}

/**
 * What stands at published names of lanes; but for those of a publication that is open, which reads
 * them back itself. Names where nothing stands are left out: no publication would ever judge them.
 */
export function namesToScrub(
  tx: Tx,
  siteId: number,
  { distributionId, name }: Cursor,
  limit: number,
): Promise<NameToScrub[]> {
  return all(
    tx,
    sql<NameToScrub>`
      select n.distribution_id as "distributionId", n.path, n.etag,
        encode(n.sha256, 'hex') as sha256, a.mount
      from published_names n
      join scrubs c on c.site_id = n.site_id
      join debian_distributions d on d.id = n.distribution_id and not d.removed
      join distribution_replications l
        on l.distribution_id = n.distribution_id and l.site_id = n.site_id
      join archives a on a.id = d.archive_id
      where n.site_id = ${siteId}
        and (n.distribution_id, n.path) > (${distributionId}::int, ${name}::text)
        and n.sha256 is not null
        and n.verified_at < c.started_at
        and not exists (
          select
          from publications p
          where p.distribution_id = n.distribution_id
            and p.site_id = n.site_id
            and p.published_at is null
            and p.given_up_at is null
        )
      order by n.distribution_id, n.path
      limit ${limit}`,
  );
}
