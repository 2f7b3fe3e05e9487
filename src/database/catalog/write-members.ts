/**
 * Members are the immutable files of a snapshot: pool files, and indices at their by-hash paths.
 * Each is stored with its range of generations [from, to), so a generation costs only its changes.
 */
import { sql } from 'kysely';

import type { BlobSet } from '../../domain/blob-set.ts';
import { SHA256_BYTES } from '../../domain/sha256.ts';
import type { Tx } from '../orm.ts';
import { INT_MAX, run } from '../sql.ts';

/** `to_generation` of a member that no later generation has left out. */
export const OPEN = INT_MAX;

interface Generation {
  readonly distributionId: number;
  readonly archiveId: number;
  readonly generation: number;
}

/**
 * Closes the ranges of members that left and opens those that came.
 * @returns how many did
 */
export async function writeMembers(
  tx: Tx,
  at: Generation,
  members: readonly BlobSet[],
): Promise<number> {
  await copyCaptured(tx, members);
  await findChanges(tx, at);
  await insertNewBlobs(tx, at);
  const left = await run(
    tx,
    sql`
      update snapshot_blobs m
      set to_generation = ${at.generation}
      from change c
      where c.path is null
        and m.distribution_id = ${at.distributionId}
        and m.to_generation = ${OPEN}
        and m.blob_id = c.blob_id`,
  );
  const came = await run(
    tx,
    sql`
      insert into snapshot_blobs (distribution_id, blob_id, from_generation)
      select ${at.distributionId}, b.id, ${at.generation}
      from change c
      join paths p on p.archive_id = ${at.archiveId} and p.path = c.path
      join blobs b on b.path_id = p.id and b.sha256 = c.sha256
      where c.blob_id is null`,
  );
  return left + came;
}

/** Sends the members in pieces into the temporary table `captured`. */
async function copyCaptured(tx: Tx, members: readonly BlobSet[]): Promise<void> {
  await run(
    tx,
    sql`
      create temporary table captured (
        path text not null,
        size bigint not null,
        sha256 bytea not null
      ) on commit drop`,
  );
  for (const set of members)
    for (const { paths, sizes, digests } of set.pieces())
      await run(
        tx,
        sql`
          insert into captured
          select path, size,
            substr(${digests}::bytea, (place::int - 1) * ${SHA256_BYTES} + 1, ${SHA256_BYTES})
          from unnest(
            string_to_array(${paths.join('\n')}, E'\n'),
            string_to_array(${sizes.join()}, ',')::bigint[]
          ) with ordinality as t (path, size, place)`,
      );
}

/**
 * Fills the temporary table `change` with what differs between `captured` and the newest
 * generation: a row without blob_id came, one without path left, and one with both has another size
 * than the catalog says.
 */
async function findChanges(tx: Tx, at: Generation): Promise<void> {
  await run(
    tx,
    sql`
      create temporary table change on commit drop as
      select c.path, c.size, c.sha256, m.blob_id
      from captured c
      full join (
        select p.path, b.sha256, b.size, o.blob_id
        from snapshot_blobs o
        join blobs b on b.id = o.blob_id
        join paths p on p.id = b.path_id
        where o.distribution_id = ${at.distributionId}
          and o.to_generation = ${OPEN}
      ) m on m.path = c.path and m.sha256 = c.sha256
      where m.blob_id is null
        or c.path is null
        or m.size <> c.size`,
  );
}

/**
 * Inserts paths and blobs of `change` that the archive had in no generation before. In one order
 * everywhere: two captures of one archive that bring the same paths wait for each other instead of
 * deadlocking. A digest has one size; where an archive corrects a wrong one, the newest signed
 * claim stands.
 */
async function insertNewBlobs(tx: Tx, at: Generation): Promise<void> {
  await run(
    tx,
    sql`
      insert into paths (archive_id, path)
      select ${at.archiveId}, c.path
      from change c
      where c.path is not null
        and not exists (
          select
          from paths p
          where p.archive_id = ${at.archiveId}
            and p.path = c.path
        )
      order by c.path
      on conflict do nothing`,
  );
  await run(
    tx,
    sql`
      insert into blobs (path_id, size, sha256)
      select p.id, c.size, c.sha256
      from change c
      join paths p on p.archive_id = ${at.archiveId} and p.path = c.path
      where not exists (
        select
        from blobs b
        where b.path_id = p.id
          and b.sha256 = c.sha256
          and b.size = c.size
      )
      order by p.id
      on conflict (path_id, sha256) do update set size = excluded.size`,
  );
}
