/**
 * Published names: what a site has at each of them as far as we know. In SQL: there are as many as
 * a distribution has indices, and they have no entity.
 */
import { sql, type RawBuilder } from 'kysely';

import { LIMITS } from '../../domain/limits.ts';
import type { RepoPath } from '../../domain/repo-path.ts';
import { sha256FromBytes, type Sha256 } from '../../domain/sha256.ts';
import { holdClaim, holdingClaim } from '../claims.ts';
import { overtaken } from '../fence.ts';
import type { Database, Tx } from '../orm.ts';
import { recordCorrupt } from '../registry/judgements.ts';
import type { LaneIds, LaneKey } from '../replication-row.ts';
import { all, ms, one, run } from '../sql.ts';

/** What stands at a published name since our last write or look; `sha256` null: nothing. */
export interface RecordedName {
  readonly sha256: Sha256 | null;
  readonly etag: string | null;
  /** Milliseconds since 1970, whole seconds. */
  readonly lastModified: number | null;
  /** What we had there was deleted less than LIMITS.tombstoneMs ago. */
  readonly isTombstone?: boolean;
  /** It is not known what stands there: a scrub or a publication that was given up left it so. */
  readonly isDoubted?: boolean;
}

/** What the site has at the published names of the lane's distribution. */
export async function readNames(tx: Tx, lane: LaneKey): Promise<Map<RepoPath, RecordedName>> {
  const found = await all(
    tx,
    sql<{
      path: RepoPath;
      digest: Uint8Array | null;
      etag: string | null;
      lastModified: number | null;
      isTombstone: boolean;
      isDoubted: boolean;
    }>`
      select path, sha256 as digest, etag, ${ms('last_modified')} as "lastModified",
        deleted_at is not null
          and deleted_at > now() - ${LIMITS.tombstoneMs} * interval '1 millisecond'
          as "isTombstone",
        verified_at is null as "isDoubted"
      from published_names
      where site_id = ${lane.siteId}
        and distribution_id = ${lane.distributionId}`,
  );
  return new Map(
    found.map(({ path, digest, ...name }) => [
      path,
      { ...name, sha256: digest === null ? null : sha256FromBytes(digest) },
    ]),
  );
}

/** What was found at a name once it was right. */
export interface SettledName extends RecordedName {
  readonly path: RepoPath;
}

/**
 * Books names after they were written and read back, or deleted: what a killed attempt leaves
 * behind is names that were not booked, which the next one reads back.
 * @throws FENCED
 */
export function recordNames(
  db: Database,
  lane: LaneKey,
  names: readonly SettledName[],
): Promise<void> {
  return db.transaction(async (tx) => {
    const booked = await run(
      tx,
      sql`
        with claiming as materialized (${holdingClaim(lane)})
        insert into published_names
          (site_id, distribution_id, path, sha256, etag, last_modified, verified_at)
        select ${lane.siteId}::int, ${lane.distributionId}::int, n.path, decode(n.sha256, 'hex'),
          n.etag, to_timestamp(n.last_modified / 1000), now()
        from unnest(
          ${names.map((name) => name.path)}::text[],
          ${names.map((name) => name.sha256)}::text[],
          ${names.map((name) => name.etag)}::text[],
          ${names.map((name) => name.lastModified)}::double precision[]
        ) n (path, sha256, etag, last_modified)
        where exists (select from claiming)
        on conflict (site_id, distribution_id, path) do update set
          sha256 = excluded.sha256,
          etag = excluded.etag,
          last_modified = excluded.last_modified,
          deleted_at = case
            when excluded.sha256 is not null then null
            when published_names.sha256 is not null then now()
            else published_names.deleted_at
          end,
          verified_at = excluded.verified_at`,
    );
    if (booked !== names.length) throw overtaken('this lane', lane);
  });
}

/**
 * Whether these bytes were wanted at this name by this generation or an older one of the
 * distribution: then they are ours, whichever attempt wrote them, and however late. Asked after
 * they were read: while the claim holds, no newer attempt has written anything.
 * @throws FENCED they may be those of a newer attempt
 */
export async function wasWanted(
  tx: Tx,
  lane: LaneKey,
  path: RepoPath,
  sha256: Sha256,
): Promise<boolean> {
  const digest = Buffer.from(sha256, 'hex');
  const found = await one(
    tx,
    sql<{ isOurs: boolean }>`
      select exists (
          select
          from snapshot_indices i
          where i.distribution_id = ${lane.distributionId}
            and i.generation <= ${lane.generation}
            and i.path = ${path}
            and i.sha256 = ${digest}
        ) or exists (
          select
          from distribution_snapshots s
          cross join lateral (
            values
              ('InRelease', s.in_release),
              ('Release', s.release),
              ('Release.gpg', s.release_gpg)
          ) release_set (name, bytes)
          where s.distribution_id = ${lane.distributionId}
            and s.generation <= ${lane.generation}
            and release_set.name = ${path.slice(path.lastIndexOf('/') + 1)}
            and sha256(release_set.bytes) = ${digest}
        ) as "isOurs"
      from claims
      where id = ${lane.claim}`,
  );
  if (found === null) throw overtaken('this lane', lane);
  return found.isOurs;
}

/** A query of the lane's published names that a scrub found wrong, and that were not read since. */
export const doubtedNames = (lane: LaneIds): RawBuilder<unknown> => sql`
  select
  from published_names
  where site_id = ${lane.siteId}
    and distribution_id = ${lane.distributionId}
    and verified_at is null`;

export const hasDoubtedName = async (tx: Tx, lane: LaneIds): Promise<boolean> =>
  (await one(tx, doubtedNames(lane))) !== null;

/** Puts a rotten or lost published name on record; its repair follows. @throws FENCED */
export function recordCorruptName(
  db: Database,
  lane: LaneKey,
  name: { path: string; expected: string; found: string },
): Promise<void> {
  return db.transaction(async (tx) => {
    await holdClaim(tx, lane);
    await recordCorrupt(tx, lane, name);
  });
}
