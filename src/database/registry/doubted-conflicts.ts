/**
 * Paths where the generation of a lane wants other bytes than the registry has there, and where the
 * registry is not believed: the site has lost them since, or the database was restored to before
 * they were replaced (anchors/distrust.ts).
 */
import { sql } from 'kysely';

import type { Checksum } from '../../domain/checksum.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { RepoPath } from '../../domain/repo-path.ts';
import { holdingClaim } from '../claims.ts';
import type { Tx } from '../orm.ts';
import type { LaneKey } from '../replication-row.ts';
import { all, run } from '../sql.ts';
import { bigints, digests, isRight, texts } from './judgements.ts';
import { atSite, blobOf, members, PENDING, SUCCEEDED, SYNCED, UNVERIFIED } from './lane-sql.ts';

export interface DoubtedConflict {
  readonly pathId: number;
  readonly path: RepoPath;
  /** Of the blob that the registry has there. */
  readonly heldId: number;
  readonly wantedId: number;
}

/** At most LIMITS.batchFiles of them. */
export const listDoubtedConflicts = (tx: Tx, lane: LaneKey): Promise<DoubtedConflict[]> =>
  all(
    tx,
    sql<DoubtedConflict>`
      select r.path_id as "pathId", p.path, r.blob_id as "heldId", b.id as "wantedId"
      from ${members(lane)}
      join blob_registry r on ${atSite(lane)} and r.path_id = b.path_id and r.blob_id <> b.id
      join paths p on p.id = r.path_id
      where r.state = ${SYNCED}
        and not r.settled
      order by r.path_id
      limit ${LIMITS.batchFiles}`,
  );

/**
 * What was found there: the wanted bytes, which are the blob's from now on, or nothing, which is
 * free for them. Anything else stays a conflict.
 * @returns how many are none any more
 */
export const bookDoubtedConflicts = (
  tx: Tx,
  lane: LaneKey,
  read: readonly (DoubtedConflict & { readonly checksum: Checksum | null })[],
): Promise<number> =>
  run(
    tx,
    sql`
      with claiming as materialized (${holdingClaim(lane)})
      update blob_registry r
      set blob_id = u.wanted_id,
        state = case when ${isRight} then ${SYNCED} else ${PENDING} end,
        verification_state = case when ${isRight} then ${SUCCEEDED} else ${UNVERIFIED} end,
        verified_at = case when ${isRight} then now() end,
        etag = u.etag,
        retry_count = 0
      from unnest(
        ${bigints(read.map((one) => one.pathId))},
        ${bigints(read.map((one) => one.heldId))},
        ${bigints(read.map((one) => one.wantedId))},
        ${texts(read.map((one) => one.checksum?.etag ?? null))},
        ${bigints(read.map((one) => one.checksum?.size ?? null))},
        ${digests(read.map((one) => one.checksum?.sha256 ?? null))}
      ) u (path_id, held_id, wanted_id, etag, size, sha256)
      cross join ${blobOf(sql`u.wanted_id`)}
      where ${atSite(lane)}
        and r.path_id = u.path_id
        and r.blob_id = u.held_id
        and r.state = ${SYNCED}
        and not r.settled
        and (u.sha256 is null or ${isRight})
        and exists (select from claiming)`,
  );
