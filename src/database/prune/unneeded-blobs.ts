/** What a site may lose: rows of the registry that no kept generation of the archive names. */
import { sql, type RawBuilder } from 'kysely';

import { IS_FREE } from '../claims.ts';
import { type Database, type Tx } from '../orm.ts';
import { from, PRUNING, STARTED } from '../registry/lane-sql.ts';
import { all, one } from '../sql.ts';
import { assertKnown, keptGenerations } from './kept-generations.ts';

export interface ArchiveRef {
  readonly id: number;
  readonly name: string;
}

export const listArchives = async (tx: Tx): Promise<ArchiveRef[]> =>
  await all(tx, sql<ArchiveRef>`select id, name from archives order by id`);

/** Of `r`, a row of blob_registry: no generation of `kept` names it, no lane writes it. */
export const isUnneeded = sql<boolean>`(
  ${from('prune')}
  and (r.state <> ${STARTED} or ${IS_FREE})
  and not exists (
    select
    from snapshot_blobs m
    join kept k on k.distribution_id = m.distribution_id
    where m.blob_id = r.blob_id
      and k.generation >= m.from_generation
      and k.generation < m.to_generation
  )
)`;

export const unneededRows = (siteId: number, archiveId: number): RawBuilder<unknown> => sql`
  blob_registry r
  join paths p on p.id = r.path_id and p.archive_id = ${archiveId}
  where r.site_id = ${siteId}
    and ${isUnneeded}`;

export interface Prunable {
  readonly site: string;
  /**
   * All that no kept generation names, with those that are being deleted; a run may delete only a
   * share of them.
   */
  readonly blobs: number;
  readonly bytes: number;
  /** By distribution: the oldest generation that the site keeps. */
  readonly oldestKept: Readonly<Record<string, number>>;
}

/**
 * What a prune would delete now. Reads only.
 * @throws PRUNE_REFUSED
 */
export async function previewPrune(
  db: Database,
  site: { readonly id: number; readonly name: string },
): Promise<Prunable> {
  const { read } = db;
  const total = { blobs: 0, bytes: 0 };
  for (const archive of await listArchives(read)) {
    const unneeded = await one(
      read,
      sql<{ blobs: number; bytes: number }>`
        with kept as materialized (${keptGenerations(site.id)})
        select count(*) as blobs, coalesce(sum(b.size), 0)::bigint as bytes
        from blob_registry r
        join blobs b on b.id = r.blob_id
        join paths p on p.id = r.path_id and p.archive_id = ${archive.id}
        where r.site_id = ${site.id}
          and (r.state = ${PRUNING} or ${isUnneeded})`,
    );
    const { blobs, bytes } = unneeded!;
    if (blobs > 0) await assertKnown(read, archive, site.id);
    total.blobs += blobs;
    total.bytes += bytes;
  }
  const rows = await all(
    read,
    sql<{ name: string; generation: number }>`
      with kept as materialized (${keptGenerations(site.id)})
      select d.name, min(k.generation) as generation
      from kept k
      join debian_distributions d on d.id = k.distribution_id
      where exists (
        select
        from publications p
        where p.distribution_id = d.id
          and p.site_id = ${site.id}
      )
      group by d.name
      order by d.name`,
  );
  return {
    site: site.name,
    ...total,
    oldestKept: Object.fromEntries(rows.map((row) => [row.name, row.generation])),
  };
}
