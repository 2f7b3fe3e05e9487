/** Rows of what a site has already, by what stands there: nothing of it is verified yet. */
import { sql } from 'kysely';

import type { Checksum } from '../../domain/checksum.ts';
import type { RepoPath } from '../../domain/repo-path.ts';
import type { Sha256 } from '../../domain/sha256.ts';
import { publishedNamesOf } from '../catalog/snapshots.ts';
import { IS_FREE } from '../claims.ts';
import type { Tx } from '../orm.ts';
import { FAILED, PENDING, STARTED, SYNCED } from '../registry/lane-sql.ts';
import type { LaneIds } from '../replication-row.ts';
import { run } from '../sql.ts';

/**
 * Every file of the generation counts as there, and is to be read back. A row that another lane has
 * filled, or works on, stays; so does one of other bytes that were verified.
 */
export const adoptBlobs = (
  tx: Tx,
  { distributionId, siteId }: LaneIds,
  generation: number,
): Promise<unknown> =>
  run(
    tx,
    sql`
      insert into blob_registry as r (site_id, path_id, blob_id, state, verified_at)
      select ${siteId}::int, b.path_id, b.id, ${SYNCED}, now()
      from snapshot_blobs m
      join blobs b on b.id = m.blob_id
      where m.distribution_id = ${distributionId}
        and m.from_generation <= ${generation}
        and m.to_generation > ${generation}
      order by b.path_id
      on conflict (site_id, path_id) do update set
        blob_id = excluded.blob_id,
        state = excluded.state,
        verification_state = excluded.verification_state,
        verified_at = coalesce(r.verified_at, excluded.verified_at),
        retry_count = 0,
        failure_code = null,
        claim = null
      where (r.state in (${PENDING}, ${FAILED}) or (r.state = ${STARTED} and ${IS_FREE}))
        and (r.blob_id = excluded.blob_id or r.verified_at is null)`,
  );

/** InRelease, or Release where there is none, as it was read. */
export interface Shown extends Checksum {
  readonly path: RepoPath;
}

/**
 * The published names of the visible generation, each to be read back. Of the one that apt asks for
 * with If-Modified-Since the time is known: the next release must be later.
 */
export async function adoptNames(
  tx: Tx,
  { distributionId, siteId }: LaneIds,
  generation: number,
  folder: string,
  shown: Shown,
): Promise<void> {
  const names = await publishedNamesOf(tx, distributionId, generation, folder);
  const present = names.filter(({ sha256 }) => sha256 !== null);
  await run(
    tx,
    sql`
      insert into published_names (site_id, distribution_id, path, sha256)
      select ${siteId}::int, ${distributionId}::int, path, decode(sha256, 'hex')
      from unnest(
        ${present.map(({ path }) => path)}::text[],
        ${present.map(({ sha256 }) => sha256)}::text[]
      ) n (path, sha256)
      on conflict (site_id, distribution_id, path) do update set
        sha256 = excluded.sha256,
        verified_at = null,
        deleted_at = null`,
  );
  await run(
    tx,
    sql`
      update published_names
      set etag = ${shown.etag},
        last_modified = to_timestamp(${shown.lastModified / 1000}::double precision)
      where site_id = ${siteId}
        and distribution_id = ${distributionId}
        and path = ${shown.path}`,
  );
}

/**
 * What the site published, in this order; the last generation is visible. The grace of the others
 * begins now, unless it began before.
 */
export async function adoptPublications(
  tx: Tx,
  { distributionId, siteId }: LaneIds,
  published: readonly number[],
): Promise<void> {
  const ofLane = sql<boolean>`p.distribution_id = ${distributionId} and p.site_id = ${siteId}`;
  const visible = published.at(-1) ?? 0;
  await run(
    tx,
    sql`
      insert into publications
        (distribution_id, site_id, generation, fence, replaces, published_at)
      select ${distributionId}::int, ${siteId}::int, generation, 0, '{}', now()
      from unnest(${[...new Set(published)]}::int[]) with ordinality n (generation, place)
      where not exists (
        select
        from publications p
        where ${ofLane}
          and p.generation = n.generation
          and p.published_at is not null
      )
      order by place`,
  );
  await run(
    tx,
    sql`
      update publications p
      set replaced_at = case when p.generation = ${visible} then null else now() end
      where ${ofLane}
        and p.published_at is not null
        and (p.replaced_at is null) <> (p.generation = ${visible})`,
  );
}

/** R of a release, as it stands at the site. */
export interface RecordedAt {
  readonly digest: Sha256;
  readonly etag: string;
}

/** R of each release in the order in which they were published, with its generation. */
export const adoptReleases = (
  tx: Tx,
  { distributionId, siteId }: LaneIds,
  releases: readonly (RecordedAt & { readonly generation: number })[],
): Promise<unknown> =>
  run(
    tx,
    sql`
      insert into site_releases (site_id, distribution_id, generation, digest, etag)
      select ${siteId}::int, ${distributionId}::int, generation, decode(digest, 'hex'), etag
      from unnest(
        ${releases.map(({ generation }) => generation)}::int[],
        ${releases.map(({ digest }) => digest)}::text[],
        ${releases.map(({ etag }) => etag)}::text[]
      ) with ordinality n (generation, digest, etag, place)
      order by place
      on conflict (site_id, distribution_id, digest) do update set
        generation = excluded.generation,
        etag = excluded.etag,
        removed_at = null`,
  );
