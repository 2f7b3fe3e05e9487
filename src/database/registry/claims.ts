/** The claims of a sync: a lane claims blobs, copies them, and books them as synced or failed. */
import { sql } from 'kysely';

import type { Checksum } from '../../domain/checksum.ts';
import type { ErrorReport } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { RepoPath } from '../../domain/repo-path.ts';
import type { Sha256 } from '../../domain/sha256.ts';
import { holdClaim, holdingClaim, IS_FREE, type Settled } from '../claims.ts';
import { type Database } from '../orm.ts';
import { type LaneKey } from '../replication-row.ts';
import { all, run } from '../sql.ts';
import { bigints, bookJudged, digests, isBooking, isRight, texts } from './judgements.ts';
import {
  to,
  atSite,
  blobOf,
  from,
  isMember,
  pathOf,
  STARTED,
  SUCCEEDED,
  UNVERIFIED,
} from './lane-sql.ts';

export interface WantedBlob {
  readonly pathId: number;
  readonly blobId: number;
  /** Relative to the archive's root. */
  readonly path: RepoPath;
  readonly size: number;
  readonly sha256: Sha256;
  /** The ETag of bytes that are known to be wrong: the repair is If-Match on it. */
  readonly badEtag: string | null;
  readonly distributionId: number;
  readonly siteId: number;
  readonly generation: number;
}

/**
 * Claims blobs for this attempt, in the order of their path ids, as far as both bounds reach but at
 * least one.
 * @param behind only those with a larger path id: the statement need not pass by what was claimed
 *   before
 * @throws FENCED
 */
export function claimBlobs(
  db: Database,
  lane: LaneKey,
  filesMax: number,
  bytesMax: number,
  behind = 0,
): Promise<WantedBlob[]> {
  return db.transaction(async (tx) => {
    const claimed = await all(
      tx,
      sql<Omit<WantedBlob, 'distributionId' | 'siteId' | 'generation'>>`
        with claiming as materialized (${holdingClaim(lane)}),
        open as (
          select r.path_id, r.blob_id
          from blob_registry r
          where exists (select from claiming)
            and ${atSite(lane)}
            and r.path_id > ${behind}
            and not r.settled
            and ${isMember(lane)}
            and ${from('claim')}
            and (r.state <> ${STARTED} or ${IS_FREE})
          order by r.path_id
          limit ${filesMax}
          for update of r skip locked
        ),
        summed as (
          select open.path_id, b.size, b.sha256,
            sum(b.size) over (order by open.path_id) - b.size as before
          from open
          cross join ${blobOf(sql`open.blob_id`)}
        )
        update blob_registry r
        set state = ${to('claim')},
          claim = ${lane.claim},
          attempt = 0
        from summed
        where ${atSite(lane)}
          and r.path_id = summed.path_id
          and summed.before < ${bytesMax}
        returning r.path_id as "pathId",
          r.blob_id as "blobId",
          ${pathOf(sql`r.path_id`)} as path,
          summed.size,
          encode(summed.sha256, 'hex') as sha256,
          case when r.verification_state = ${UNVERIFIED} then r.etag end as "badEtag"`,
    );
    if (claimed.length === 0) await holdClaim(tx, lane);
    const { distributionId, siteId, generation } = lane;
    return claimed
      .map((blob) => ({ ...blob, distributionId, siteId, generation }))
      .sort((a, b) => a.pathId - b.pathId);
  });
}

/**
 * Books blobs that were written and read back. Wrong bytes stay open for repair, with the ETag that
 * has them; after LIMITS.repairsMax in a row the blob is failed: something between us and the site
 * changes it.
 * @throws FENCED
 */
export function finishBlobs(
  db: Database,
  lane: LaneKey,
  done: readonly {
    readonly pathId: number;
    readonly blobId: number;
    readonly checksum: Checksum;
  }[],
): Promise<Settled> {
  return db.transaction(async (tx) => {
    const judging = sql`
      update blob_registry r
      set etag = u.etag,
        state = case
          when ${isRight} then ${to('sync')}
          when r.retry_count + 1 >= ${LIMITS.repairsMax} then ${to('fail')}
          else ${to('release')}
        end,
        verification_state = case when ${isRight} then ${SUCCEEDED} else ${UNVERIFIED} end,
        verified_at = case when ${isRight} then now() else r.verified_at end,
        retry_count = case when ${isRight} then 0 else r.retry_count + 1 end,
        failure_code = case when ${isRight} then null else 'SITE_SERVES_OTHER' end
      from unnest(
        ${bigints(done.map((blob) => blob.pathId))},
        ${bigints(done.map((blob) => blob.blobId))},
        ${texts(done.map((blob) => blob.checksum.etag))},
        ${bigints(done.map((blob) => blob.checksum.size))},
        ${digests(done.map((blob) => blob.checksum.sha256))}
      ) u(path_id, blob_id, etag, size, sha256)
      cross join ${blobOf(sql`u.blob_id`)}
      where ${atSite(lane)}
        and r.path_id = u.path_id
        and r.blob_id = u.blob_id
        and r.claim = ${lane.claim}
        and ${from('sync')}
        and ${isBooking}
      returning r.path_id, b.size, b.sha256 as expected, u.sha256 as found,
        ${isRight} as is_right,
        false as was_settled`;
    const { files, bytes } = await bookJudged(tx, lane, judging);
    return { files, bytes };
  });
}

/**
 * Books blobs that no origin had with the right bytes. The lane goes on with the others and fails
 * at the end.
 * @throws FENCED
 */
export function failBlobs(
  db: Database,
  lane: LaneKey,
  failed: readonly { readonly pathId: number; readonly report: ErrorReport }[],
): Promise<void> {
  return db.transaction(async (tx) => {
    await holdClaim(tx, lane);
    await run(
      tx,
      sql`
        update blob_registry r
        set state = ${to('fail')},
          failure_code = u.code,
          retry_count = least(r.retry_count + 1, 1000)
        from unnest(
          ${failed.map((blob) => blob.pathId)}::bigint[],
          ${failed.map((blob) => blob.report.code)}::text[]
        ) u(path_id, code)
        where ${atSite(lane)}
          and r.path_id = u.path_id
          and r.claim = ${lane.claim}
          and ${from('fail')}`,
    );
  });
}
