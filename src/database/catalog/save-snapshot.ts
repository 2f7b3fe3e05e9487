/** A captured snapshot becomes the next generation of its distribution. */
import { sql } from 'kysely';

import { BlobSet } from '../../domain/blob-set.ts';
import { DebgeoError } from '../../domain/errors.ts';
import type { Snapshot, Validator } from '../../domain/snapshot.ts';
import { DebianDistribution } from '../entities/debian-distribution.ts';
import { recordEvent } from '../incidents.ts';
import { lockArchiveShared } from '../locks.ts';
import { type Database, type Tx } from '../orm.ts';
import { useOlderAcceptance } from '../replications/older-acceptances.ts';
import { rollUp } from '../replications/roll-up.ts';
import { wantGeneration } from '../replications/want-generation.ts';
import { one, run } from '../sql.ts';
import { copyIndices, insertIndices, insertSnapshot } from './insert-snapshot.ts';
import { isSameSnapshot, readSnapshot } from './snapshots.ts';
import { writeMembers } from './write-members.ts';

/**
 * Saves a captured snapshot as the next generation, in one transaction; every replication then
 * wants it. A snapshot whose Release set, indices and members are those of the newest generation is
 * that generation (I5).
 * @param basis the newest generation when the snapshot was judged; without it, the newest one now
 * @param olderAcceptance id of the operator's acceptance of this older release; used up with it
 * @throws ARCHIVE_CHANGING `basis` is not the newest any more: a slow capture must not bring back
 *   an older release
 * @throws RELEASE_ROLLBACK `olderAcceptance` was used or has ended meanwhile
 * @throws SNAPSHOT_EMPTY no member at all
 * @throws INDEX_CONTRADICTION one path with two digests or sizes
 */
export async function saveSnapshot(
  db: Database,
  distributionId: number,
  snapshot: Snapshot,
  validator: Validator,
  basis?: number,
  olderAcceptance: number | null = null,
): Promise<{ generation: number }> {
  const { members, files } = membersOf(snapshot);
  return db.transaction(async (tx) => {
    const { latest, archiveId } = await lockForCapture(tx, distributionId);
    const generation = latest + 1;
    const newest = await readSnapshot(tx, distributionId, latest);
    if (basis !== undefined && basis !== latest) {
      if (newest !== null && (await isSameSnapshot(tx, distributionId, newest, snapshot)))
        return { generation: latest };
      throw overtaken(basis, latest);
    }
    const changes = await writeMembers(tx, { distributionId, archiveId, generation }, members);
    if (
      changes === 0 &&
      newest !== null &&
      (await isSameSnapshot(tx, distributionId, newest, snapshot))
    )
      return { generation: latest };
    await insertSnapshot(tx, distributionId, generation, snapshot, files);
    await insertIndices(tx, distributionId, generation, snapshot);
    if (olderAcceptance !== null) {
      const newestDate = newest?.date ?? null;
      await useOlderAcceptance(tx, olderAcceptance, {
        distributionId,
        generation,
        date: snapshot.date,
        newestDate,
      });
    }
    // Two bodies of one Date are accepted and put on record: no rule tells which is the older.
    const sameDate =
      newest?.date?.getTime() !== undefined && newest.date.getTime() === snapshot.date?.getTime();
    await announce(tx, distributionId, generation, validator, {
      changes,
      members: files.count,
      sameDate,
    });
    return { generation };
  });
}

/**
 * The newest generation was signed again, its body unchanged: a new generation that every lane
 * publishes, with the indices and members of the one before. In SQL: copied column to column, as a
 * Date would cut the microseconds of the times.
 * @throws ARCHIVE_CHANGING `newest` is not the newest any more
 */
export async function saveResigned(
  db: Database,
  distributionId: number,
  newest: number,
  resigned: Pick<Snapshot, 'releaseSet' | 'signers' | 'untorn'>,
  validator: Validator,
): Promise<{ generation: number }> {
  return db.transaction(async (tx) => {
    const { latest } = await lockForCapture(tx, distributionId);
    if (latest !== newest) throw overtaken(newest, latest);
    const generation = latest + 1;
    const { inRelease, release, releaseGpg } = resigned.releaseSet;
    await run(
      tx,
      sql`
        insert into distribution_snapshots (
          distribution_id, generation, in_release, release, release_gpg, body_sha256,
          date, valid_until, signers, untorn, blob_count, blob_bytes
        )
        select distribution_id, ${generation}, ${inRelease}, ${release}, ${releaseGpg}, body_sha256,
          date, valid_until, ${[...resigned.signers]}::text[], ${resigned.untorn},
          blob_count, blob_bytes
        from distribution_snapshots
        where distribution_id = ${distributionId}
          and generation = ${latest}`,
    );
    await copyIndices(tx, distributionId, latest, generation);
    await announce(tx, distributionId, generation, validator, { resigned: true });
    return { generation };
  });
}

const overtaken = (basis: number, latest: number): DebgeoError =>
  new DebgeoError('ARCHIVE_CHANGING', 'another capture was faster', {
    expected: `generation ${basis}`,
    found: `generation ${latest}`,
  });

/**
 * All files of a snapshot, and what they are together.
 * @throws SNAPSHOT_EMPTY, INDEX_CONTRADICTION
 */
export function membersOf(snapshot: Snapshot): {
  readonly members: readonly BlobSet[];
  readonly files: { readonly count: number; readonly bytes: number };
} {
  const members = [snapshot.poolFiles, byHashOf(snapshot)];
  const files = {
    count: sumOf(members, (set) => set.size),
    bytes: sumOf(members, (set) => set.bytes),
  };
  return { members, files };
}

const sumOf = (sets: readonly BlobSet[], what: (set: BlobSet) => number): number =>
  sets.reduce((sum, set) => sum + what(set), 0);

/** The indices at their by-hash paths. */
function byHashOf({ indices, poolFiles }: Snapshot): BlobSet {
  const byHash = new BlobSet();
  for (const { byHashPaths, size, sha256 } of indices)
    for (const path of byHashPaths) {
      byHash.add({ path, size, sha256 });
      if (poolFiles.has(path))
        throw new DebgeoError('INDEX_CONTRADICTION', `${path} is named twice, differently`, {
          expected: 'an index',
          found: 'a pool file',
        });
    }
  if (byHash.size + poolFiles.size === 0)
    throw new DebgeoError('SNAPSHOT_EMPTY', 'the snapshot has no file at all', {
      expected: 'at least one',
      found: '0',
    });
  return byHash;
}

/**
 * The lock against prune first, in a statement of its own, then the distribution: captures of one
 * distribution come one after the other.
 */
async function lockForCapture(
  tx: Tx,
  distributionId: number,
): Promise<{ latest: number; archiveId: number }> {
  const archiveId = await lockArchiveShared(tx, distributionId);
  const locked = await one(
    tx,
    sql<{ latest: number }>`
      select latest_generation as latest
      from debian_distributions
      where id = ${distributionId}
      for no key update`,
  );
  return { latest: locked!.latest, archiveId };
}

/** Writes that a generation exists: distribution, replications, record of events, roll-up. */
async function announce(
  tx: Tx,
  distributionId: number,
  generation: number,
  validator: Validator,
  facts: Readonly<Record<string, unknown>>,
): Promise<void> {
  await tx.em.nativeUpdate(
    DebianDistribution,
    { id: distributionId },
    {
      latestGeneration: generation,
      inReleaseEtag: validator.etag,
      inReleaseLastModified: validator.lastModified,
    },
  );
  await wantGeneration(tx, distributionId, generation);
  await recordEvent(tx, { distributionId, generation, what: 'captured', facts });
  await rollUp(tx, distributionId);
}
