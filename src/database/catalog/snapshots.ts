/** Stored snapshots: the Release set of each generation, and the indices that it lists. */
import { sql } from 'kysely';

import { releaseSetPaths, type RepoPath } from '../../domain/repo-path.ts';
import type { Sha256 } from '../../domain/sha256.ts';
import type { PublishedName, ReleaseSet, Snapshot } from '../../domain/snapshot.ts';
import { type Tx } from '../orm.ts';
import { all, ms, one } from '../sql.ts';

export interface StoredSnapshot {
  readonly generation: number;
  readonly releaseSet: ReleaseSet;
  readonly bodySha256: Sha256;
  readonly date: Date | null;
  readonly validUntil: Date | null;
  readonly signers: readonly string[];
  readonly untorn: boolean;
}

interface Columns {
  readonly generation: number;
  readonly inRelease: Buffer | null;
  readonly release: Buffer | null;
  readonly releaseGpg: Buffer | null;
  readonly bodySha256: Sha256;
  readonly date: number | null;
  readonly validUntil: number | null;
  readonly signers: readonly string[];
  readonly untorn: boolean;
}

export async function readSnapshot(
  tx: Tx,
  distributionId: number,
  generation: number,
): Promise<StoredSnapshot | null> {
  const row = await one(
    tx,
    sql<Columns>`
      select generation,
        in_release as "inRelease",
        release,
        release_gpg as "releaseGpg",
        encode(body_sha256, 'hex') as "bodySha256",
        ${ms('date')} as date,
        ${ms('valid_until')} as "validUntil",
        signers, untorn
      from distribution_snapshots
      where distribution_id = ${distributionId}
        and generation = ${generation}`,
  );
  if (row === null) return null;
  const { inRelease, release, releaseGpg, date, validUntil, ...snapshot } = row;
  return {
    ...snapshot,
    releaseSet: { inRelease, release, releaseGpg },
    date: dateOf(date),
    validUntil: dateOf(validUntil),
  };
}

const dateOf = (time: number | null): Date | null => (time === null ? null : new Date(time));

/**
 * Canonical paths that Release listed within the selection when this generation was captured, with
 * their digests; null where the archive did not have the file.
 */
export async function indexDigestsOf(
  tx: Tx,
  distributionId: number,
  generation: number,
): Promise<Map<RepoPath, Sha256 | null>> {
  const rows = await all(
    tx,
    sql<{ path: RepoPath; sha256: Sha256 | null }>`
      select path, encode(sha256, 'hex') as sha256
      from snapshot_indices
      where distribution_id = ${distributionId}
        and generation = ${generation}`,
  );
  return new Map(rows.map((row) => [row.path, row.sha256]));
}

/** The canonical paths at which the archive had an index of these bytes, the latest first. */
export async function canonicalPathsOf(
  tx: Tx,
  distributionId: number,
  sha256: Sha256,
): Promise<RepoPath[]> {
  const rows = await all(
    tx,
    sql<{ path: RepoPath }>`
      select path
      from snapshot_indices
      where distribution_id = ${distributionId}
        and sha256 = decode(${sha256}, 'hex')
      group by path
      order by max(generation) desc, path`,
  );
  return rows.map((row) => row.path);
}

/** The published names of a generation: canonical indices and the Release set. */
export async function publishedNamesOf(
  tx: Tx,
  distributionId: number,
  generation: number,
  suiteFolder: string,
): Promise<PublishedName[]> {
  const [inRelease, release, releaseGpg] = releaseSetPaths(suiteFolder);
  const rows = await all(
    tx,
    sql<PublishedName>`
      select path, encode(sha256, 'hex') as sha256, size
      from snapshot_indices
      where distribution_id = ${distributionId}
        and generation = ${generation}
      union all
      select name, encode(sha256(bytes), 'hex'), coalesce(octet_length(bytes), 0)::bigint
      from distribution_snapshots s,
        lateral (
          values
            (${releaseGpg}, s.release_gpg),
            (${release}, s.release),
            (${inRelease}, s.in_release)
        ) release_set (name, bytes)
      where s.distribution_id = ${distributionId}
        and s.generation = ${generation}`,
  );
  return rows;
}

/** Whether a snapshot has the Release set and the indices of a stored one, byte for byte. */
export async function isSameSnapshot(
  tx: Tx,
  distributionId: number,
  stored: StoredSnapshot,
  snapshot: Snapshot,
): Promise<boolean> {
  if (!isSameReleaseSet(stored.releaseSet, snapshot.releaseSet)) return false;
  const digests = await indexDigestsOf(tx, distributionId, stored.generation);
  return (
    digests.size === snapshot.indices.length + snapshot.absent.length &&
    snapshot.indices.every((index) => digests.get(index.path) === index.sha256) &&
    snapshot.absent.every((path) => digests.get(path) === null)
  );
}

export function isSameReleaseSet(one: ReleaseSet, other: ReleaseSet): boolean {
  const isSame = (a: Uint8Array | null, b: Uint8Array | null): boolean =>
    a === null || b === null ? a === b : Buffer.compare(a, b) === 0;
  return (
    isSame(one.inRelease, other.inRelease) &&
    isSame(one.release, other.release) &&
    isSame(one.releaseGpg, other.releaseGpg)
  );
}
