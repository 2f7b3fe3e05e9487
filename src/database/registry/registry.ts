/**
 * What each site has (`blob_registry`), which is also the plan: one row per site and immutable
 * path.
 *
 * Rows are shared by all distributions of an archive at a site, so every write is conditional on
 * the claim of its own attempt (or, for a blob that is only read, on the ETag that was read), and
 * on the lane's fence: a late result changes nothing. Claims are for efficiency; what keeps bytes
 * safe are the conditions on the writes at the site.
 */
import { sql } from 'kysely';

import type { Checksum } from '../../domain/checksum.ts';
import { DebgeoError, type ErrorCode, type ErrorReport } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Replication } from '../../domain/replication.ts';
import type { RepoPath } from '../../domain/repo-path.ts';
import type { Sha256 } from '../../domain/sha256.ts';
import { type Database, type Tx } from '../orm.ts';
import { all, one, run } from '../sql.ts';
import { bigints, bookJudged, digests, texts } from './judgements.ts';
import {
  after,
  atSite,
  blobOf,
  FAILED,
  holdFence,
  isBefore,
  isDead,
  isMember,
  members,
  pathOf,
  PENDING,
  recount,
  rowOf,
  STARTED,
  SUCCEEDED,
  SYNCED,
  type LaneKey,
  UNVERIFIED,
} from './lane-sql.ts';

export type { LaneKey } from './lane-sql.ts';

export interface WantedBlob {
  readonly pathId: number;
  readonly blobId: number;
  /** Relative to the archive's root. */
  readonly path: RepoPath;
  readonly size: number;
  readonly sha256: Sha256;
  /** Of bytes known to be wrong: repair is If-Match on it. */
  readonly badEtag: string | null;
  readonly distributionId: number;
  readonly siteId: number;
  readonly generation: number;
}

/** Right bytes as the catalog says: judged here, in SQL, and nowhere else. `u` is what was read. */
const right = sql`(u.size = b.size and u.sha256 = b.sha256)`;

/**
 * Claims blobs for this attempt, in the order of their path ids, as far as both bounds reach but at
 * least one.
 * @param behind only those with a larger path id: what was claimed before need not be passed by
 *   again
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
    await holdFence(tx, lane);
    const claimed = await all(
      tx,
      sql<Omit<WantedBlob, 'distributionId' | 'siteId' | 'generation'>>`
      with open as (
        select r.path_id, r.blob_id from blob_registry r
        where ${atSite(lane)} and r.path_id > ${behind} and not r.settled and ${isMember(lane)}
          and ${isBefore('claim')} and (r.state <> ${STARTED} or ${isDead(lane)})
        order by r.path_id limit ${filesMax} for update of r skip locked),
      summed as (
        select open.path_id, b.size, b.sha256, sum(b.size) over (order by open.path_id) - b.size as before
        from open cross join ${blobOf(sql`open.blob_id`)})
      update blob_registry r set state = ${after('claim')}, attempt = ${lane.attempt}
      from summed s where ${atSite(lane)} and r.path_id = s.path_id and s.before < ${bytesMax}
      returning r.path_id as "pathId", r.blob_id as "blobId", ${pathOf(sql`r.path_id`)} as path, s.size, encode(s.sha256, 'hex') as sha256,
        case when r.verification_state = ${UNVERIFIED} then r.etag end as "badEtag"`,
    );
    const { distributionId, siteId, generation } = lane;
    return claimed
      .map((blob) => ({ ...blob, distributionId, siteId, generation }))
      .sort((a, b) => a.pathId - b.pathId);
  });
}

/**
 * Takes over what was written and read back. Bytes that are not the catalog's stay open for repair
 * with the ETag that has them, and after LIMITS.repairsMax in a row the blob is failed: something
 * between us and the site changes it.
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
): Promise<Replication> {
  return db.transaction(async (tx) => {
    await holdFence(tx, lane);
    const judging = sql`
      update blob_registry r set
        etag = u.etag,
        state = case when ${right} then ${after('sync')} when r.retry_count + 1 >= ${LIMITS.repairsMax} then ${after('fail')} else ${after('release')} end,
        verification_state = case when ${right} then ${SUCCEEDED} else ${UNVERIFIED} end,
        verified_at = case when ${right} then now() else r.verified_at end,
        retry_count = case when ${right} then 0 else r.retry_count + 1 end,
        failure_code = case when ${right} then null else 'SITE_SERVES_OTHER' end
      from unnest(${bigints(done.map((d) => d.pathId))}, ${bigints(done.map((d) => d.blobId))}, ${texts(done.map((d) => d.checksum.etag))},
          ${bigints(done.map((d) => d.checksum.size))}, ${digests(done.map((d) => d.checksum.sha256))})
          u(path_id, blob_id, etag, size, sha256)
        cross join ${blobOf(sql`u.blob_id`)}
      where ${atSite(lane)} and r.path_id = u.path_id and r.blob_id = u.blob_id
        and r.attempt = ${lane.attempt} and ${isBefore('sync')}
      returning r.path_id, b.size, b.sha256 as expected, u.sha256 as found, ${right} as is_right, false as was_settled`;
    return (await bookJudged(tx, lane, judging)).row;
  });
}

/**
 * Books blobs that no origin has right. The lane goes on with the others and fails at the end.
 * @throws FENCED
 */
export function failBlobs(
  db: Database,
  lane: LaneKey,
  failed: readonly { readonly pathId: number; readonly report: ErrorReport }[],
): Promise<void> {
  return db.transaction(async (tx) => {
    await holdFence(tx, lane);
    await run(
      tx,
      sql`
      update blob_registry r set state = ${after('fail')}, failure_code = u.code, retry_count = least(r.retry_count + 1, 1000)
      from unnest(${failed.map((f) => f.pathId)}::bigint[], ${failed.map((f) => f.report.code)}::text[]) u(path_id, code)
      where ${atSite(lane)} and r.path_id = u.path_id and r.attempt = ${lane.attempt} and ${isBefore('fail')}`,
    );
  });
}

/**
 * Gives back what this attempt still claims. Needs no fence: only rows of this very attempt change.
 */
export async function releaseBlobs(db: Database, lane: LaneKey): Promise<void> {
  await run(
    db.read,
    sql`
    update blob_registry r set state = ${after('release')}
    where ${atSite(lane)} and not r.settled and ${isBefore('release')} and r.attempt = ${lane.attempt}`,
  );
}

export interface OpenBlobs {
  readonly claimable: number;
  /** Claimed by a live attempt of another distribution: to be waited for. */
  readonly elsewhere: number;
  readonly failed: {
    readonly count: number;
    readonly code: ErrorCode;
    readonly path: string;
  } | null;
}

/** What of the lane's generation is not at the site yet. */
export async function openBlobs(tx: Tx, lane: LaneKey): Promise<OpenBlobs> {
  const row = await one(
    tx,
    sql<{
      claimable: number;
      elsewhere: number;
      failed: number;
      code: ErrorCode | null;
      path: string | null;
    }>`
    with open as (
      select r.path_id, r.state, r.failure_code, (r.state = ${PENDING} or (r.state = ${STARTED} and ${isDead(lane)})) as claimable
      from blob_registry r where ${atSite(lane)} and not r.settled and r.state <> ${SYNCED} and ${isMember(lane)})
    select count(*) filter (where claimable) as claimable, count(*) filter (where state = ${STARTED} and not claimable) as elsewhere,
      count(*) filter (where state = ${FAILED}) as failed, f.code, f.path
    from open left join lateral (
      select o.failure_code as code, p.path from open o join paths p on p.id = o.path_id where o.state = ${FAILED} order by o.path_id limit 1) f on true
    group by f.code, f.path`,
  );
  if (row === null) return { claimable: 0, elsewhere: 0, failed: null };
  const failed =
    row.failed === 0
      ? null
      : { count: row.failed, code: row.code ?? 'BLOB_MISSING', path: row.path ?? '' };
  return { claimable: row.claimable, elsewhere: row.elsewhere, failed };
}

export interface Barrier {
  readonly members: number;
  /** Members whose row at this site is not synced and verified with this very blob. */
  readonly unsettled: number;
  /** Those of them that no row stands for: only a new plan mends that. */
  readonly unplanned: number;
}

/** The barrier in front of publication: one statement over the whole generation, always in full. */
export async function barrier(tx: Tx, lane: LaneKey): Promise<Barrier> {
  const found = await one(
    tx,
    sql<Barrier>`
    select count(*) as members, count(*) filter (where r.settled is not true) as unsettled, count(*) filter (where r.path_id is null) as unplanned
    from ${members(lane)} left join blob_registry r on ${atSite(lane)} and r.path_id = b.path_id and r.blob_id = b.id`,
  );
  return found!;
}

/** @throws SNAPSHOT_EMPTY, NOT_VERIFIED */
export function assertSettled({ members: count, unsettled }: Barrier, generation: number): void {
  if (count === 0)
    throw new DebgeoError(
      'SNAPSHOT_EMPTY',
      `generation ${generation} has no member: 0 of 0 is not verified`,
    );
  if (unsettled === 0) return;
  throw new DebgeoError(
    'NOT_VERIFIED',
    `not everything of generation ${generation} is verified at the site`,
    {
      expected: `${count} of ${count} verified`,
      found: `${count - unsettled} of ${count} verified`,
      state: 'nothing was published',
    },
  );
}

/**
 * Brings progress up to date when another lane finished some of our blobs, or some were found
 * wrong. @throws FENCED
 */
export function countProgress(db: Database, lane: LaneKey): Promise<Replication> {
  return db.transaction(async (tx) => {
    await holdFence(tx, lane);
    await recount(tx, lane);
    return rowOf(tx, lane);
  });
}

/**
 * Enabled sites, other than the one that asks, whose copy is verified; the distribution's primary
 * first.
 */
export async function verifiedSitesOf(tx: Tx, blob: WantedBlob): Promise<string[]> {
  const found = await all(
    tx,
    sql<{ name: string }>`
    select s.name from blob_registry r join replication_sites s on s.id = r.site_id
    left join debian_distributions d on d.id = ${blob.distributionId} and d.replication_site_id = s.id
    where r.path_id = ${blob.pathId} and r.blob_id = ${blob.blobId} and r.settled and s.enabled and s.id <> ${blob.siteId}
    order by d.id is null, s.name`,
  );
  return found.map((row) => row.name);
}
