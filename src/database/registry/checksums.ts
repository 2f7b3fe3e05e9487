/** Reading blobs back: which are due, and what is booked of what was found. */
import { sql } from 'kysely';

import type { Checksum } from '../../domain/checksum.ts';
import type { RepoPath } from '../../domain/repo-path.ts';
import type { Settled } from '../claims.ts';
import { type Database, type Tx } from '../orm.ts';
import { type LaneKey } from '../replication-row.ts';
import { all, one, timestamp } from '../sql.ts';
import type { WantedBlob } from './claims.ts';
import {
  bigints,
  bookJudged,
  digests,
  isBooking,
  isRight,
  texts,
  type CorruptBlob,
} from './judgements.ts';
import {
  to,
  atSite,
  blobOf,
  from,
  isMember,
  pathOf,
  SUCCEEDED,
  SYNCED,
  UNVERIFIED,
} from './lane-sql.ts';

/**
 * A blob that is to be read back, with the ETag of its row: what is found is booked only if the row
 * still has it.
 */
export type BlobToChecksum = WantedBlob & { readonly etag: string | null };

/**
 * Blobs of the generation that are at the site and not verified, or not since the command to
 * verify; in the order of their path ids.
 * @param verifyRequestedAt when the command was given, milliseconds; null: there is none
 * @param behind only those with a larger path id: what was handed out before need not be booked yet
 */
export async function blobsToChecksum(
  tx: Tx,
  lane: LaneKey,
  verifyRequestedAt: number | null,
  behind: number,
  limit: number,
): Promise<BlobToChecksum[]> {
  // Rows keep microseconds, commands milliseconds: what was verified within the millisecond of the
  // command is read again.
  const isDue =
    verifyRequestedAt === null
      ? sql`not r.settled`
      : sql`(not r.settled or r.verified_at < ${timestamp(verifyRequestedAt + 1)})`;
  // The page first, then its blobs and paths row by row: statistics may be older than the rows, and
  // a planner that expects one row joins whole tables.
  const found = await all(
    tx,
    sql<Omit<BlobToChecksum, 'badEtag' | 'distributionId' | 'siteId' | 'generation'>>`
      with page as materialized (
        select r.path_id, r.blob_id, r.etag
        from blob_registry r
        where ${atSite(lane)}
          and r.state = ${SYNCED}
          and ${isDue}
          and ${isMember(lane)}
          and r.path_id > ${behind}
        order by r.path_id
        limit ${limit}
      )
      select page.path_id as "pathId",
        page.blob_id as "blobId",
        ${pathOf(sql`page.path_id`)} as path,
        b.size,
        encode(b.sha256, 'hex') as sha256,
        page.etag
      from page
      cross join ${blobOf(sql`page.blob_id`)}
      order by page.path_id`,
  );
  const { distributionId, siteId, generation } = lane;
  return found.map((blob) => ({ ...blob, badEtag: null, distributionId, siteId, generation }));
}

/** A member that is at the site, by its path; null: it is not there, or no member. */
export async function memberAtSite(
  tx: Tx,
  lane: LaneKey,
  path: RepoPath,
): Promise<Pick<BlobToChecksum, 'pathId' | 'blobId' | 'etag'> | null> {
  const found = await one(
    tx,
    sql<Pick<BlobToChecksum, 'pathId' | 'blobId' | 'etag'>>`
      select r.path_id as "pathId", r.blob_id as "blobId", r.etag
      from debian_distributions d
      join paths p on p.archive_id = d.archive_id and p.path = ${path}
      join blob_registry r on ${atSite(lane)} and r.path_id = p.id
      where d.id = ${lane.distributionId}
        and r.state = ${SYNCED}
        and ${isMember(lane)}`,
  );
  return found ?? null;
}

/**
 * Judges what was read back (`checksum` null: nothing was there). Wrong and missing blobs become
 * pending with the ETag to repair, and an incident each. A row that changed since it was handed out
 * is left alone: another lane has judged or repaired it.
 * @throws FENCED
 */
export function recordChecksums(
  db: Database,
  lane: LaneKey,
  read: readonly {
    readonly pathId: number;
    readonly blobId: number;
    readonly etag: string | null;
    readonly checksum: Checksum | null;
  }[],
): Promise<Settled & { readonly bad: readonly CorruptBlob[] }> {
  return db.transaction(async (tx) => {
    const judging = sql`
      with held as (
        select r.path_id, r.blob_id, r.settled as was_settled, u.etag, u.size, u.sha256
        from unnest(
          ${bigints(read.map((blob) => blob.pathId))},
          ${bigints(read.map((blob) => blob.blobId))},
          ${texts(read.map((blob) => blob.etag))},
          ${texts(read.map((blob) => blob.checksum?.etag ?? null))},
          ${bigints(read.map((blob) => blob.checksum?.size ?? null))},
          ${digests(read.map((blob) => blob.checksum?.sha256 ?? null))}
        ) u(path_id, blob_id, handed_etag, etag, size, sha256)
        join blob_registry r
          on ${atSite(lane)} and r.path_id = u.path_id and r.blob_id = u.blob_id
        where ${isBooking}
          and ${from('corrupt')}
          and r.etag is not distinct from u.handed_etag
        order by r.path_id
        for update of r
      )
      update blob_registry r
      set etag = u.etag,
        state = case when ${isRight} then r.state else ${to('corrupt')} end,
        verification_state = case when ${isRight} then ${SUCCEEDED} else ${UNVERIFIED} end,
        verified_at = case when ${isRight} then now() else r.verified_at end,
        retry_count = 0
      from held u
      cross join ${blobOf(sql`u.blob_id`)}
      where ${atSite(lane)}
        and r.path_id = u.path_id
      returning r.path_id, b.size, b.sha256 as expected, u.sha256 as found,
        ${isRight} as is_right,
        u.was_settled`;
    return bookJudged(tx, lane, judging);
  });
}
