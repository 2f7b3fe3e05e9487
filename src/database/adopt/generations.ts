/** Releases that a site has become generations of the catalog, below the archive's newest one. */
import { sql } from 'kysely';

import { DebgeoError } from '../../domain/errors.ts';
import type { Snapshot } from '../../domain/snapshot.ts';
import { copyIndices, insertIndices, insertSnapshot } from '../catalog/insert-snapshot.ts';
import { membersOf } from '../catalog/save-snapshot.ts';
import {
  isSameReleaseSet,
  isSameSnapshot,
  readSnapshot,
  type StoredSnapshot,
} from '../catalog/snapshots.ts';
import { OPEN, writeMembers } from '../catalog/write-members.ts';
import type { Tx } from '../orm.ts';
import { all, one, run } from '../sql.ts';

interface Ids {
  readonly distributionId: number;
  readonly archiveId: number;
}

export interface Placed {
  /** Of each release, in the order in which they were given. */
  readonly generations: readonly number[];
  /** The archive's newest release: what every site shall serve. */
  readonly top: number;
}

/**
 * Gives each release a generation. Those that the catalog has already, in this order, keep theirs;
 * from the first that it lacks, all are put on top, and the archive's newest once more above them,
 * unless the last of them is just that. The caller holds the locks of a capture.
 * @param releases in the order of their Dates
 * @param isFit whether the generations that would be kept may be
 */
export async function placeReleases(
  tx: Tx,
  ids: Ids,
  newest: StoredSnapshot,
  releases: readonly Snapshot[],
  isFit: (kept: readonly number[]) => boolean,
): Promise<Placed> {
  const kept = await findKnown(tx, ids.distributionId, releases);
  const generations = isFit(kept) ? kept : [];
  let top = newest.generation;
  for (let place = generations.length; place < releases.length; place += 1) {
    const [before, snapshot] = [releases[place - 1], releases[place]!];
    const isAgain = top > newest.generation && before !== undefined && isAlike(before, snapshot);
    if (!isAgain) await append(tx, ids, (top += 1), snapshot);
    generations.push(top);
  }
  const last = releases.at(-1);
  const isOnTop =
    last !== undefined && (await isSameSnapshot(tx, ids.distributionId, newest, last));
  if (top === newest.generation || isOnTop) return { generations, top };
  await copyOnTop(tx, ids.distributionId, newest.generation, (top += 1));
  return { generations, top };
}

/**
 * Generations that the catalog has of the first releases, none before the one before it: as many as
 * there are, and the latest where it has a release twice.
 */
async function findKnown(
  tx: Tx,
  distributionId: number,
  releases: readonly Snapshot[],
): Promise<number[]> {
  const choices: (readonly number[])[] = [];
  let from = 0;
  for (const snapshot of releases) {
    const alike = await listAlike(tx, distributionId, snapshot);
    const first = alike.find((generation) => generation >= from);
    if (first === undefined) break;
    choices.push(alike);
    from = first;
  }
  let until = Infinity;
  return choices
    .toReversed()
    .map((alike) => (until = alike.findLast((generation) => generation <= until)!))
    .toReversed();
}

/** Generations with this very Release set and these indices. */
async function listAlike(tx: Tx, distributionId: number, snapshot: Snapshot): Promise<number[]> {
  const stored = await all(
    tx,
    sql<{ generation: number }>`
      select generation
      from distribution_snapshots
      where distribution_id = ${distributionId}
        and body_sha256 = ${Buffer.from(snapshot.bodySha256, 'hex')}
      order by generation`,
  );
  const alike: number[] = [];
  for (const { generation } of stored) {
    const one = await readSnapshot(tx, distributionId, generation);
    if (one !== null && (await isSameSnapshot(tx, distributionId, one, snapshot)))
      alike.push(generation);
  }
  return alike;
}

/** The same release, published twice. */
function isAlike(one: Snapshot, other: Snapshot): boolean {
  const indicesOf = ({ indices, absent }: Snapshot): string =>
    JSON.stringify([indices.map(({ path, sha256 }) => `${path} ${sha256}`).toSorted(), absent]);
  return isSameReleaseSet(one.releaseSet, other.releaseSet) && indicesOf(one) === indicesOf(other);
}

async function append(tx: Tx, ids: Ids, generation: number, snapshot: Snapshot): Promise<void> {
  const { members, files } = membersOf(snapshot);
  await writeMembers(tx, { ...ids, generation }, members);
  await run(tx, sql`drop table captured, change`);
  await insertSnapshot(tx, ids.distributionId, generation, snapshot, files);
  await insertIndices(tx, ids.distributionId, generation, snapshot);
}

/**
 * In SQL: copied column to column, as a Date would cut the microseconds of the times.
 * @throws INDEX_CONTRADICTION an adopted release gives a file of the newest another size
 */
async function copyOnTop(
  tx: Tx,
  distributionId: number,
  from: number,
  generation: number,
): Promise<void> {
  await run(
    tx,
    sql`
      insert into distribution_snapshots (
        distribution_id, generation, in_release, release, release_gpg, body_sha256,
        date, valid_until, signers, untorn, blob_count, blob_bytes, captured_at
      )
      select distribution_id, ${generation}, in_release, release, release_gpg, body_sha256,
        date, valid_until, signers, untorn, blob_count, blob_bytes, captured_at
      from distribution_snapshots
      where distribution_id = ${distributionId}
        and generation = ${from}`,
  );
  await copyIndices(tx, distributionId, from, generation);
  const ofNewest = sql`
    select blob_id
    from snapshot_blobs
    where distribution_id = ${distributionId}
      and from_generation <= ${from}
      and to_generation > ${from}`;
  await run(
    tx,
    sql`
      update snapshot_blobs
      set to_generation = ${generation}
      where distribution_id = ${distributionId}
        and to_generation = ${OPEN}
        and blob_id not in (${ofNewest})`,
  );
  await run(
    tx,
    sql`
      insert into snapshot_blobs (distribution_id, blob_id, from_generation)
      select ${distributionId}, newest.blob_id, ${generation}
      from (${ofNewest}) newest
      where not exists (
        select
        from snapshot_blobs o
        where o.distribution_id = ${distributionId}
          and o.blob_id = newest.blob_id
          and o.to_generation = ${OPEN}
      )`,
  );
  await assertCopied(tx, distributionId, generation);
}

/** Nothing that a site says changes what the archive's newest release is. */
async function assertCopied(tx: Tx, distributionId: number, generation: number): Promise<void> {
  const found = await one(
    tx,
    sql<{ expected: string; found: string }>`
      select s.blob_count || ' files, ' || s.blob_bytes || ' bytes' as expected,
        (
          select count(*) || ' files, ' || coalesce(sum(b.size), 0) || ' bytes'
          from snapshot_blobs m
          join blobs b on b.id = m.blob_id
          where m.distribution_id = s.distribution_id
            and m.from_generation <= s.generation
            and m.to_generation > s.generation
        ) as found
      from distribution_snapshots s
      where s.distribution_id = ${distributionId}
        and s.generation = ${generation}`,
  );
  if (found !== null && found.expected === found.found) return;
  throw new DebgeoError(
    'INDEX_CONTRADICTION',
    'a release of the site gives files of the newest release another size',
    found ?? {},
  );
}
