/**
 * What a site may lose: rows of the registry that no kept generation names, of any distribution of
 * the archive. Found without a lock; marked under the exclusive lock of the archive, in short
 * transactions, each of which judges its rows again by what was committed before the lock was
 * granted: capture, plan and publication hold that lock shared, so either they see the mark or
 * their generation is seen. A marked row counts as missing: whoever needs it writes it anew, over
 * the very version that is being deleted (plan-blobs.ts), and so a deletion that comes late finds
 * another ETag.
 */
import { sql, type RawBuilder } from 'kysely';

import { DebgeoError, type ErrorReport } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { RepoPath } from '../../domain/repo-path.ts';
import { sha256FromBytes, type Sha256 } from '../../domain/sha256.ts';
import { recordIncident } from '../incidents.ts';
import { lockArchiveForPrune } from '../locks.ts';
import { type Database, type Tx } from '../orm.ts';
import { after, isBefore, PRUNING, STARTED, UNVERIFIED } from '../registry/lane-sql.ts';
import { all, one, run } from '../sql.ts';
import { assertKnown, keptGenerations } from './kept-generations.ts';

/**
 * Rows per marking transaction: it holds up captures and plans of the archive for tens of
 * milliseconds.
 */
const ROWS_PER_LOCK = 1_000;

interface ArchiveRef {
  readonly id: number;
  readonly name: string;
}

/**
 * `r` is named by no generation of `kept`, and nobody writes it: a claim is dead that no working
 * lane of the site holds.
 */
const isUnneeded = sql<boolean>`(
  ${isBefore('prune')}
  and (r.state <> ${STARTED} or not exists (
    select from distribution_replications o where o.site_id = r.site_id and o.fence = r.attempt and o.state = 'started'))
  and not exists (
    select from snapshot_blobs m join kept k on k.distribution_id = m.distribution_id
    where m.blob_id = r.blob_id and k.generation >= m.from_generation and k.generation < m.to_generation))`;

const unneededRows = (siteId: number, archiveId: number): RawBuilder<unknown> => sql`
  blob_registry r join paths p on p.id = r.path_id and p.archive_id = ${archiveId} where r.site_id = ${siteId} and ${isUnneeded}`;

/**
 * Marks what the site may lose, as far as the share of a run reaches; what earlier runs left marked
 * counts. Twice: marks no more than once.
 * @returns whether more could go than the share
 * @throws PRUNE_REFUSED it is not certain what is to be kept; nothing of that archive is marked,
 *   nor of those after it
 */
export async function markUnneeded(db: Database, siteId: number): Promise<{ more: boolean }> {
  let share = await openShare(db.read, siteId);
  let more = false;
  for (const archive of await listArchives(db.read)) {
    const found = await findUnneeded(db.read, siteId, archive.id, share + 1);
    if (found.length === 0) continue;
    await assertKnown(db.read, archive, siteId);
    more ||= found.length > share;
    const marking = found.slice(0, share);
    share -= marking.length;
    for (let from = 0; from < marking.length; from += ROWS_PER_LOCK)
      await markRows(db, siteId, archive.id, marking.slice(from, from + ROWS_PER_LOCK));
  }
  return { more };
}

/** How many rows this run may still mark. */
async function openShare(tx: Tx, siteId: number): Promise<number> {
  const rows = await all(
    tx,
    sql<{ rows: number; marked: number }>`
    select count(*) as rows, count(*) filter (where state = ${PRUNING}) as marked from blob_registry where site_id = ${siteId}`,
  );
  const ofSite = Math.max(
    LIMITS.pruneFilesMin,
    Math.ceil((rows[0]!.rows * LIMITS.prunePercent) / 100),
  );
  return Math.max(0, Math.min(LIMITS.pruneFiles, ofSite) - rows[0]!.marked);
}

const listArchives = async (tx: Tx): Promise<ArchiveRef[]> =>
  await all(tx, sql<ArchiveRef>`select id, name from archives order by id`);

async function findUnneeded(
  tx: Tx,
  siteId: number,
  archiveId: number,
  limit: number,
): Promise<number[]> {
  const rows = await all(
    tx,
    sql<{ pathId: number }>`
    with kept as materialized (${keptGenerations(siteId)})
    select r.path_id as "pathId" from ${unneededRows(siteId, archiveId)} order by r.path_id limit ${limit}`,
  );
  return rows.map((row) => row.pathId);
}

/**
 * Rows that somebody changes at this moment are left for the next run: so nothing here waits but
 * for the lock of the archive.
 */
export function markRows(
  db: Database,
  siteId: number,
  archiveId: number,
  pathIds: readonly number[],
): Promise<void> {
  return db.transaction(async (tx) => {
    await lockArchiveForPrune(tx, archiveId);
    // Row by row through indices: reading whole tables may be a little faster now and then, but
    // everybody waits for it.
    await run(
      tx,
      sql`select set_config(name, 'off', true) from unnest('{enable_seqscan,enable_hashjoin,enable_mergejoin}'::text[]) name`,
    );
    await run(
      tx,
      sql`
      with kept as materialized (${keptGenerations(siteId)}),
      held as (
        select r.path_id from ${unneededRows(siteId, archiveId)} and r.path_id = any(${[...pathIds]}::bigint[])
        order by r.path_id for update of r skip locked)
      update blob_registry r
      set state = ${after('prune')}, verification_state = ${UNVERIFIED}, attempt = 0, retry_count = 0, failure_code = null
      from held where r.site_id = ${siteId} and r.path_id = held.path_id`,
    );
  });
}

/** A blob that is to be deleted, and the attempt that does it. */
export interface UnneededBlob {
  readonly pathId: number;
  readonly blobId: number;
  readonly mount: string;
  /** Relative to the archive's root. */
  readonly path: RepoPath;
  readonly size: number;
  readonly sha256: Sha256;
  /** Of the version that is known to be there; null: it must be looked for. */
  readonly etag: string | null;
}

/**
 * Takes marked rows for this attempt, in the order of their paths: also those that a killed one had
 * taken, deleted perhaps, and not booked.
 */
export async function takeMarked(
  db: Database,
  siteId: number,
  attempt: number,
  limit: number,
): Promise<UnneededBlob[]> {
  const rows = await all(
    db.read,
    sql<Omit<UnneededBlob, 'sha256'> & { digest: Uint8Array }>`
    with open as (
      select r.path_id from blob_registry r
      where r.site_id = ${siteId} and not r.settled and r.state = ${PRUNING} and r.attempt < ${attempt}
      order by r.path_id limit ${limit} for update skip locked)
    update blob_registry r set attempt = ${attempt}
    from open join paths p on p.id = open.path_id join archives a on a.id = p.archive_id, blobs b
    where r.site_id = ${siteId} and r.path_id = open.path_id and b.id = r.blob_id
    returning r.path_id as "pathId", r.blob_id as "blobId", a.mount, p.path, b.size, b.sha256 as digest, r.etag`,
  );
  return rows
    .map(({ digest, ...blob }) => ({ ...blob, sha256: sha256FromBytes(digest) }))
    .sort((a, b) => a.pathId - b.pathId);
}

const isOurs = (siteId: number, attempt: number): RawBuilder<boolean> =>
  sql<boolean>`r.site_id = ${siteId} and r.state = ${PRUNING} and r.attempt = ${attempt}`;

/**
 * Books the version that is about to be deleted, before it is: whoever needs the blob from now on
 * writes over this version and never takes it for its own.
 * @returns false: somebody needs the blob, or another attempt has it; it must not be deleted
 */
export async function bookFound(
  db: Database,
  siteId: number,
  attempt: number,
  pathId: number,
  etag: string,
): Promise<boolean> {
  const booked = await run(
    db.read,
    sql`update blob_registry r set etag = ${etag} where ${isOurs(siteId, attempt)} and r.path_id = ${pathId}`,
  );
  return booked === 1;
}

/** A blob that stays at the site although nothing needs it, and why. */
export interface Left {
  readonly blob: UnneededBlob;
  /**
   * FOREIGN_WRITE: other bytes than ours. SITE_REFUSED: the site does not delete it; counted, for
   * it may be so for all of them.
   */
  readonly report: ErrorReport & { readonly code: 'FOREIGN_WRITE' | 'SITE_REFUSED' };
}

/**
 * Forgets what is gone, and what is left, which is put on record. A row that somebody needs by now,
 * and writes anew, stays his.
 */
export function bookGone(
  db: Database,
  siteId: number,
  attempt: number,
  gone: readonly UnneededBlob[],
  left: readonly Left[] = [],
): Promise<void> {
  const pathIds = [...gone, ...left.map((one) => one.blob)].map((blob) => blob.pathId);
  return db.transaction(async (tx) => {
    const forgotten = await all(
      tx,
      sql<{ pathId: number }>`
      delete from blob_registry r where ${isOurs(siteId, attempt)} and r.path_id = any(${pathIds}::bigint[])
      returning r.path_id as "pathId"`,
    );
    const paths = new Set(forgotten.map((row) => row.pathId));
    const deleted = gone.filter((blob) => paths.has(blob.pathId));
    await run(
      tx,
      sql`
      update prunes set blobs = blobs + ${deleted.length}, bytes = bytes + ${deleted.reduce((sum, blob) => sum + blob.size, 0)}
      where site_id = ${siteId}`,
    );
    for (const one of left) if (paths.has(one.blob.pathId)) await recordLeft(tx, siteId, one);
  });
}

async function recordLeft(tx: Tx, siteId: number, { blob, report }: Left): Promise<void> {
  const distribution = await one(
    tx,
    sql<{ id: number }>`
      select d.id from debian_distributions d join paths p on p.archive_id = d.archive_id where p.id = ${blob.pathId}
      order by exists (select from snapshot_blobs m where m.distribution_id = d.id and m.blob_id = ${blob.blobId}) desc, d.id limit 1`,
  );
  if (distribution === null) return;
  const path = report.code === 'FOREIGN_WRITE' ? blob.path : null;
  await recordIncident(tx, { distributionId: distribution.id, siteId, path, report });
}

export interface Prunable {
  readonly site: string;
  /** That would go, the share of a run apart; those being deleted already among them. */
  readonly blobs: number;
  readonly bytes: number;
  /** By distribution: the oldest generation that is kept there. */
  readonly oldestKept: Readonly<Record<string, number>>;
}

/** What a prune would delete now; changes nothing. @throws PRUNE_REFUSED */
export async function previewPrune(
  db: Database,
  site: { readonly id: number; readonly name: string },
): Promise<Prunable> {
  const { read } = db;
  const total = { blobs: 0, bytes: 0 };
  for (const archive of await listArchives(read)) {
    const rows = await all(
      read,
      sql<{ blobs: number; bytes: number }>`
      with kept as materialized (${keptGenerations(site.id)})
      select count(*) as blobs, coalesce(sum(b.size), 0)::bigint as bytes
      from blob_registry r join blobs b on b.id = r.blob_id join paths p on p.id = r.path_id and p.archive_id = ${archive.id}
      where r.site_id = ${site.id} and (r.state = ${PRUNING} or ${isUnneeded})`,
    );
    const { blobs, bytes } = rows[0]!;
    if (blobs > 0) await assertKnown(read, archive, site.id);
    total.blobs += blobs;
    total.bytes += bytes;
  }
  const rows = await all(
    read,
    sql<{ name: string; generation: number }>`
    with kept as materialized (${keptGenerations(site.id)})
    select d.name, min(k.generation) as generation from kept k join debian_distributions d on d.id = k.distribution_id
    where exists (select from publications p where p.distribution_id = d.id and p.site_id = ${site.id})
    group by d.name order by d.name`,
  );
  return {
    site: site.name,
    ...total,
    oldestKept: Object.fromEntries(rows.map((row) => [row.name, row.generation])),
  };
}

/** @throws NAME_UNKNOWN */
export async function findSite(
  tx: Tx,
  name: string,
): Promise<{ readonly id: number; readonly name: string }> {
  const found = await one(
    tx,
    sql<{
      id: number;
      name: string;
    }>`select id, name from replication_sites where name = ${name}`,
  );
  if (found === null) throw new DebgeoError('NAME_UNKNOWN', `there is no site ${name}`);
  return found;
}
