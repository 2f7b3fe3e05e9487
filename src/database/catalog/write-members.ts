/**
 * Members are the immutable files of a snapshot: pool files, and indices at their by-hash paths.
 * Each is stored with its range of generations [from, to), so a generation costs only its changes.
 */
import { sql } from 'kysely';

import type { BlobSet } from '../../domain/blob-set.ts';
import { SHA256_BYTES } from '../../domain/sha256.ts';
import type { Tx } from '../orm.ts';

/** `to_generation` of a member that no later generation has left out. */
export const OPEN = 2147483647;

/** Closes the ranges of members that left and opens those that came. Returns how many did. */
export async function writeMembers(
  { kysely }: Tx,
  at: { readonly distributionId: number; readonly archiveId: number; readonly generation: number },
  members: readonly BlobSet[],
): Promise<number> {
  await sql`create temporary table captured (path text not null, size bigint not null, sha256 bytea not null) on commit drop`.execute(
    kysely,
  );
  for (const set of members)
    for (const { paths, sizes, digests } of set.pieces())
      await sql`
        insert into captured select path, size, substr(${digests}::bytea, (place::int - 1) * ${SHA256_BYTES} + 1, ${SHA256_BYTES})
        from unnest(string_to_array(${paths.join('\n')}, E'\n'), string_to_array(${sizes.join()}, ',')::bigint[]) with ordinality as t (path, size, place)`.execute(
        kysely,
      );

  // What differs from the newest generation: without a blob it came, without a path it left, with
  // both the archive corrects a wrong size.
  await sql`
    create temporary table change on commit drop as
    select c.path, c.size, c.sha256, m.blob_id from captured c
    full join (
      select p.path, b.sha256, b.size, o.blob_id from snapshot_blobs o join blobs b on b.id = o.blob_id join paths p on p.id = b.path_id
      where o.distribution_id = ${at.distributionId} and o.to_generation = ${OPEN}) m on m.path = c.path and m.sha256 = c.sha256
    where m.blob_id is null or c.path is null or m.size <> c.size`.execute(kysely);

  // In one order everywhere: two captures of one archive that bring the same paths wait for each
  // other instead of deadlocking.
  await sql`
    insert into paths (archive_id, path)
    select ${at.archiveId}, c.path from change c
    where c.path is not null and not exists (select from paths p where p.archive_id = ${at.archiveId} and p.path = c.path) order by c.path
    on conflict do nothing`.execute(kysely);
  // A digest has one size; where an archive corrects a wrong one, the newest signed claim stands.
  await sql`
    insert into blobs (path_id, size, sha256)
    select p.id, c.size, c.sha256 from change c join paths p on p.archive_id = ${at.archiveId} and p.path = c.path
    where not exists (select from blobs b where b.path_id = p.id and b.sha256 = c.sha256 and b.size = c.size) order by p.id
    on conflict (path_id, sha256) do update set size = excluded.size`.execute(kysely);

  const left = await sql`
    update snapshot_blobs m set to_generation = ${at.generation} from change c
    where c.path is null and m.distribution_id = ${at.distributionId} and m.to_generation = ${OPEN} and m.blob_id = c.blob_id`.execute(
    kysely,
  );
  const came = await sql`
    insert into snapshot_blobs (distribution_id, blob_id, from_generation)
    select ${at.distributionId}, b.id, ${at.generation} from change c
    join paths p on p.archive_id = ${at.archiveId} and p.path = c.path join blobs b on b.path_id = p.id and b.sha256 = c.sha256
    where c.blob_id is null`.execute(kysely);
  return Number(left.numAffectedRows ?? 0n) + Number(came.numAffectedRows ?? 0n);
}
