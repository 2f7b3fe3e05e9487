/**
 * Published names: what a site has at each of them as far as we know. In SQL: there are as many as
 * a distribution has indices, and they have no entity.
 */
import { sql } from 'kysely';

import type { RepoPath } from '../../domain/repo-path.ts';
import { sha256FromBytes, type Sha256 } from '../../domain/sha256.ts';
import { holdClaim } from '../claims.ts';
import type { Database, Tx } from '../orm.ts';
import { recordCorrupt } from '../registry/judgements.ts';
import type { LaneKey } from '../replication-row.ts';
import { all, ms, run, timestamp } from '../sql.ts';

/** What stands at a published name since our last write or look; `sha256` null: nothing. */
export interface RecordedName {
  readonly sha256: Sha256 | null;
  readonly etag: string | null;
  /** Milliseconds since 1970, whole seconds. */
  readonly lastModified: number | null;
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
    }>`
      select path, sha256 as digest, etag, ${ms('last_modified')} as "lastModified"
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

/**
 * Books one name after it was written and read back, or deleted: what a killed attempt leaves
 * behind is at most one name that was not booked.
 * @throws FENCED
 */
export function recordName(
  db: Database,
  lane: LaneKey,
  path: RepoPath,
  name: RecordedName,
): Promise<void> {
  return db.transaction(async (tx) => {
    await holdClaim(tx, lane);
    const digest = name.sha256 === null ? null : Buffer.from(name.sha256, 'hex');
    await run(
      tx,
      sql`
        insert into published_names
          (site_id, distribution_id, path, sha256, etag, last_modified, verified_at)
        values (
          ${lane.siteId}, ${lane.distributionId}, ${path}, ${digest}, ${name.etag},
          ${timestamp(name.lastModified)}, now())
        on conflict (site_id, distribution_id, path) do update set
          sha256 = excluded.sha256,
          etag = excluded.etag,
          last_modified = excluded.last_modified,
          verified_at = excluded.verified_at`,
    );
  });
}

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
