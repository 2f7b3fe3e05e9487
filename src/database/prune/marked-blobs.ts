/** Marked blobs: an attempt claims them, deletes them at the site, and their rows go. */
import { sql, type RawBuilder } from 'kysely';

import type { ErrorReport } from '../../domain/errors.ts';
import type { RepoPath } from '../../domain/repo-path.ts';
import { sha256FromBytes, type Sha256 } from '../../domain/sha256.ts';
import { holdClaim } from '../claims.ts';
import { recordIncident } from '../incidents.ts';
import { type Database, type Tx } from '../orm.ts';
import { PRUNING } from '../registry/lane-sql.ts';
import { awaitsPaths, wake } from '../replications/parked.ts';
import { all, one, run } from '../sql.ts';
import { IS_TO_ASK } from './held-files.ts';
import { countDeleted } from './prunes.ts';

/** An attempt that deletes at a site. */
export interface PruneClaim {
  readonly siteId: number;
  /** Its row of `claims`. */
  readonly claim: number;
}

/** A blob that is to be deleted. */
export interface UnneededBlob {
  readonly pathId: number;
  readonly blobId: number;
  readonly mount: string;
  /** Relative to the archive's root. */
  readonly path: RepoPath;
  readonly size: number;
  readonly sha256: Sha256;
  /** Of the version that is known to be there; null: the site must be asked. */
  readonly etag: string | null;
}

/**
 * Claims marked rows for this attempt, in the order of their path ids: also those that an earlier
 * attempt claimed, perhaps deleted at the site, and did not book; not those that the site has
 * refused to delete of late.
 * @throws FENCED
 */
export function claimMarked(
  db: Database,
  { siteId, claim }: PruneClaim,
  limit: number,
): Promise<UnneededBlob[]> {
  return db.transaction(async (tx) => {
    await holdClaim(tx, { claim });
    const rows = await all(
      tx,
      sql<Omit<UnneededBlob, 'sha256'> & { digest: Uint8Array }>`
      with open as (
        select r.path_id
        from blob_registry r
        where r.site_id = ${siteId}
          and not r.settled
          and r.state = ${PRUNING}
          and ${IS_TO_ASK}
          and r.claim is distinct from ${claim}
        order by r.path_id
        limit ${limit}
        for update skip locked
      )
      update blob_registry r
      set claim = ${claim},
        attempt = 0
      from open
      join paths p on p.id = open.path_id
      join archives a on a.id = p.archive_id,
        blobs b
      where r.site_id = ${siteId}
        and r.path_id = open.path_id
        and b.id = r.blob_id
      returning r.path_id as "pathId", r.blob_id as "blobId",
        a.mount, p.path, b.size, b.sha256 as digest, r.etag`,
    );
    return rows
      .map(({ digest, ...blob }) => ({ ...blob, sha256: sha256FromBytes(digest) }))
      .sort((a, b) => a.pathId - b.pathId);
  });
}

/** Of `r`, a row of blob_registry: it is marked, and this attempt has claimed it. */
const isOurs = ({ siteId, claim }: PruneClaim): RawBuilder<boolean> =>
  sql<boolean>`r.site_id = ${siteId} and r.state = ${PRUNING} and r.claim = ${claim}`;

/**
 * Books the version that is about to be deleted, before it is: a lane that needs the blob from now
 * on writes over this version and never takes it for its own.
 * @returns false: a lane needs the blob, or another attempt has it; it must not be deleted
 */
export async function bookFound(
  db: Database,
  of: PruneClaim,
  pathId: number,
  etag: string,
): Promise<boolean> {
  const booked = await run(
    db.read,
    sql`
      update blob_registry r
      set etag = ${etag}
      where ${isOurs(of)}
        and r.path_id = ${pathId}`,
  );
  return booked === 1;
}

/** A blob that stays at the site although nothing needs it, and why. */
export interface Undeleted {
  readonly blob: UnneededBlob;
  /**
   * FOREIGN_WRITE: other bytes than ours, which are forgotten. BLOB_HELD: the site does not delete
   * it, and is asked again; one incident counts them all, since a site may refuse every deletion.
   */
  readonly report: ErrorReport & { readonly code: 'FOREIGN_WRITE' | 'BLOB_HELD' };
}

/**
 * Deletes the rows of blobs that are gone, and of those where other bytes stand. Those that the
 * site does not delete stay marked. Both become incidents. The row of a blob that a lane needs
 * meanwhile, and writes anew, stays as the lane has it.
 */
export function bookGone(
  db: Database,
  of: PruneClaim,
  gone: readonly UnneededBlob[],
  undeleted: readonly Undeleted[] = [],
): Promise<void> {
  const held = undeleted.filter(({ report }) => report.code === 'BLOB_HELD');
  const foreign = undeleted.filter((one) => !held.includes(one));
  const pathIds = [...gone, ...foreign.map(({ blob }) => blob)].map((blob) => blob.pathId);
  return db.transaction(async (tx) => {
    const forgotten = await all(
      tx,
      sql<{ pathId: number }>`
        delete from blob_registry r
        where ${isOurs(of)}
          and r.path_id = any(${pathIds}::bigint[])
        returning r.path_id as "pathId"`,
    );
    const paths = new Set(forgotten.map((row) => row.pathId));
    const deleted = gone.filter((blob) => paths.has(blob.pathId));
    const bytes = deleted.reduce((sum, blob) => sum + blob.size, 0);
    await countDeleted(tx, of.siteId, { blobs: deleted.length, bytes });
    if (paths.size > 0) await wake(tx, awaitsPaths(of.siteId, [...paths]));
    const kept = await bookHeld(tx, of, held);
    for (const one of [...foreign.filter(({ blob }) => paths.has(blob.pathId)), ...kept])
      await recordUndeleted(tx, of.siteId, one);
  });
}

/** @returns those that were marked still */
async function bookHeld(
  tx: Tx,
  of: PruneClaim,
  held: readonly Undeleted[],
): Promise<readonly Undeleted[]> {
  if (held.length === 0) return held;
  const booked = await all(
    tx,
    sql<{ pathId: number }>`
      update blob_registry r
      set refused_at = now(),
        failure_code = 'BLOB_HELD',
        claim = null
      where ${isOurs(of)}
        and r.path_id = any(${held.map(({ blob }) => blob.pathId)}::bigint[])
      returning r.path_id as "pathId"`,
  );
  const paths = new Set(booked.map((row) => row.pathId));
  return held.filter(({ blob }) => paths.has(blob.pathId));
}

/** An incident of a distribution that names the blob, or else of one of the same archive. */
async function recordUndeleted(tx: Tx, siteId: number, { blob, report }: Undeleted): Promise<void> {
  const distribution = await one(
    tx,
    sql<{ id: number }>`
      select d.id
      from debian_distributions d
      join paths p on p.archive_id = d.archive_id
      where p.id = ${blob.pathId}
      order by
        exists (
          select
          from snapshot_blobs m
          where m.distribution_id = d.id
            and m.blob_id = ${blob.blobId}
        ) desc,
        d.id
      limit 1`,
  );
  if (distribution === null) return;
  const path = report.code === 'FOREIGN_WRITE' ? blob.path : null;
  await recordIncident(tx, { distributionId: distribution.id, siteId, path, report });
}
