/**
 * Deletes of the catalog what nothing needs, archive by archive: snapshots that no site needs, then
 * ranges of members in which no stored snapshot lies, then blobs that neither a range nor a site
 * names, then paths without a blob. Always in this order and under the exclusive lock of the
 * archive: a range goes only with the last snapshot in it, so that a stored snapshot is whole, and
 * a lane that comes too late finds no snapshot (plan-blobs.ts) rather than half of one.
 */
import { sql, type RawBuilder } from 'kysely';

import { LIMITS } from '../../domain/limits.ts';
import { OPEN } from '../catalog/write-members.ts';
import { lockArchiveForPrune } from '../locks.ts';
import { type Database, type Tx } from '../orm.ts';
import { all, one, run } from '../sql.ts';
import { assertKnown, isKept, keptGenerations, rankedPublications } from './kept-generations.ts';
import { listArchives, type ArchiveRef } from './unneeded-blobs.ts';

/**
 * Deletes of every archive as much as one run may.
 * @returns how many snapshots
 */
export async function pruneArchives(db: Database): Promise<number> {
  let snapshots = 0;
  for (const archive of await listArchives(db.read)) snapshots += await pruneArchive(db, archive);
  await prunePublications(db.read);
  await pruneIndexContents(db.read);
  return snapshots;
}

async function pruneArchive(db: Database, archive: ArchiveRef): Promise<number> {
  // Looked for outside of the lock, since that reads the whole catalog; judged again inside.
  const [blobs, paths] = [
    await ids(db.read, unnamedBlobs(archive.id)),
    await ids(db.read, unnamedPaths(archive.id)),
  ];
  const unneeded = await one(
    db.read,
    sql`
      with kept as materialized (${keptGenerations(null)})
      select
      ${unneededSnapshots(archive.id)}
      limit 1`,
  );
  if (unneeded !== null) await assertKnown(db.read, archive, null);

  return db.transaction(async (tx) => {
    await lockArchiveForPrune(tx, archive.id);
    const snapshots = await run(
      tx,
      sql`
        with kept as materialized (${keptGenerations(null)})
        delete from distribution_snapshots
        where (distribution_id, generation) in (
          select s.distribution_id, s.generation
          ${unneededSnapshots(archive.id)}
          order by s.distribution_id, s.generation
          limit ${LIMITS.pruneSnapshots}
        )`,
    );
    await run(
      tx,
      sql`
        delete from snapshot_blobs
        where (distribution_id, blob_id, from_generation) in (
          select m.distribution_id, m.blob_id, m.from_generation
          from snapshot_blobs m
          join debian_distributions d on d.id = m.distribution_id and d.archive_id = ${archive.id}
          where m.to_generation < ${sql.lit(OPEN)}
            and not exists (
              select
              from distribution_snapshots s
              where s.distribution_id = m.distribution_id
                and s.generation >= m.from_generation
                and s.generation < m.to_generation
            )
          order by m.distribution_id, m.to_generation
          limit ${LIMITS.pruneCatalogRows}
        )`,
    );
    await run(
      tx,
      sql`
        delete from blobs
        where id in (select id from (${unnamedBlobs(archive.id, blobs)}) unnamed)`,
    );
    await run(
      tx,
      sql`
        delete from paths
        where id in (select id from (${unnamedPaths(archive.id, paths)}) unnamed)`,
    );
    return snapshots;
  });
}

/** To stand behind `select`, after `with kept`: `from` and `where` of `s`, a snapshot. */
const unneededSnapshots = (archiveId: number): RawBuilder<unknown> => sql`
  from distribution_snapshots s
  join debian_distributions d on d.id = s.distribution_id and d.archive_id = ${archiveId}
  where not exists (
    select
    from kept k
    where k.distribution_id = s.distribution_id
      and k.generation = s.generation
  )`;

const within = (column: string, among: readonly number[] | undefined): RawBuilder<boolean> =>
  among === undefined
    ? sql<boolean>`true`
    : sql<boolean>`${sql.ref(column)} = any(${[...among]}::bigint[])`;

const unnamedBlobs = (
  archiveId: number,
  among?: readonly number[],
): RawBuilder<{ id: number }> => sql<{ id: number }>`
  select b.id
  from blobs b
  join paths p on p.id = b.path_id and p.archive_id = ${archiveId}
  where ${within('b.id', among)}
    and not exists (select from snapshot_blobs m where m.blob_id = b.id)
    and not exists (select from blob_registry r where r.blob_id = b.id)
  order by b.id
  limit ${LIMITS.pruneCatalogRows}`;

const unnamedPaths = (
  archiveId: number,
  among?: readonly number[],
): RawBuilder<{ id: number }> => sql<{ id: number }>`
  select p.id
  from paths p
  where p.archive_id = ${archiveId}
    and ${within('p.id', among)}
    and not exists (select from blobs b where b.path_id = p.id)
  order by p.id
  limit ${LIMITS.pruneCatalogRows}`;

const ids = async (tx: Tx, query: RawBuilder<{ id: number }>): Promise<number[]> =>
  (await all(tx, query)).map((row) => row.id);

/**
 * Deletes publications that were replaced and are past their grace: each has the ETags of a
 * thousand names. What was published when stays in distribution_events.
 */
const prunePublications = (tx: Tx): Promise<unknown> =>
  run(
    tx,
    sql`
      delete from publications
      where id in (
        select p.id
        from (${rankedPublications(null)}) p
        where p.replaced_at is not null
          and not ${isKept}
        order by p.id
        limit ${LIMITS.pruneCatalogRows}
      )`,
  );

/**
 * Marks bytes of indices that no stored snapshot names, and deletes those that were unused for
 * long. A capture that finds them here takes the mark away (index-contents.ts) in the same row that
 * is deleted: one of the two comes first, and the other sees it.
 */
async function pruneIndexContents(tx: Tx): Promise<void> {
  const isUnnamed = sql`
    chunk = 0
    and not exists (select from snapshot_indices i where i.sha256 = c.sha256)`;
  await run(
    tx,
    sql`
      with gone as (
        delete from index_contents c
        where ${isUnnamed}
          and unused_since < now() - ${LIMITS.unusedIndexMs}::bigint * interval '1 millisecond'
        returning sha256
      )
      delete from index_contents c
      using gone
      where c.sha256 = gone.sha256
        and c.chunk > 0`,
  );
  await run(
    tx,
    sql`
      update index_contents c
      set unused_since = now()
      where unused_since is null
        and ${isUnnamed}`,
  );
}
