/** Some of the members of one generation: by digest, by size, or a sample. */
import { sql, type RawBuilder } from 'kysely';

import type { Blob } from '../../domain/blob.ts';
import { BY_HASH_PATTERN, type RepoPath } from '../../domain/repo-path.ts';
import { sha256FromBytes, type Sha256 } from '../../domain/sha256.ts';
import type { Tx } from '../orm.ts';
import { members } from '../registry/lane-sql.ts';
import type { LaneKey } from '../replication-row.ts';
import { all } from '../sql.ts';

const isByHash = sql`p.path ~ ${sql.lit(BY_HASH_PATTERN)}`;

/** The by-hash members with these digests, all hashes and folders. */
export function byHashMembers(tx: Tx, lane: LaneKey, digests: readonly Sha256[]): Promise<Blob[]> {
  const bytes = digests.map((digest) => Buffer.from(digest, 'hex'));
  return select(
    tx,
    lane,
    sql`
      where ${isByHash}
        and b.sha256 = any(${bytes}::bytea[])
      order by p.path`,
  );
}

/**
 * The smallest member, a by-hash index where there is one: what a site must show before anything is
 * published on it.
 */
export async function smallestMember(tx: Tx, lane: LaneKey): Promise<Blob | null> {
  const found = await select(
    tx,
    lane,
    sql`
      order by ${isByHash} desc, b.size, p.path
      limit 1`,
  );
  return found[0] ?? null;
}

/** A few pool files, always the same ones: the smallest, and those whose names apt quotes. */
export async function samplePool(tx: Tx, lane: LaneKey, count: number): Promise<Blob[]> {
  const quoted = sql`
    where not ${isByHash}
      and p.path ~ '[+~%]'
    order by b.size, p.path
    limit ${Math.ceil(count / 2)}`;
  const smallest = sql`
    where not ${isByHash}
    order by b.size, p.path
    limit ${count}`;
  const found = await select(tx, lane, quoted, smallest);
  return [...new Map(found.map((blob) => [blob.path, blob])).values()].slice(0, count);
}

/** @param which `where`, `order by` and `limit`, of `m` a member, `b` its blob and `p` its path */
async function select(tx: Tx, lane: LaneKey, ...which: RawBuilder<unknown>[]): Promise<Blob[]> {
  const selects = which.map(
    (clauses) => sql`
      (
        select p.path, b.size, b.sha256 as digest
        from ${members(lane)}
        join paths p on p.id = b.path_id
        ${clauses}
      )`,
  );
  const found = await all(
    tx,
    sql<{
      path: RepoPath;
      size: number;
      digest: Uint8Array;
    }>`${sql.join(selects, sql` union all `)}`,
  );
  return found.map(({ digest, ...blob }) => ({ ...blob, sha256: sha256FromBytes(digest) }));
}
