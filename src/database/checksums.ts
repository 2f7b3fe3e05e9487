/** Reading back and judging: what is to be read, and what the catalog says about what was read. */
import { sql } from 'kysely';
import type { Replication } from '../domain/replication.ts';
import { sha256FromBytes } from '../domain/sha256.ts';
import type { Checksum } from '../site/site-store.ts';
import { after, holdFence, isBefore, isMember, recordCorrupt, rowOf, SUCCEEDED, SYNCED, type LaneKey, UNVERIFIED } from './lane.ts';
import { timestamp, type Database, type Tx } from './orm.ts';
import type { WantedBlob } from './registry.ts';

/** A blob that is to be read, with the ETag that its row has: what is found is booked only if the row still says so. */
export type BlobToChecksum = WantedBlob & { readonly etag: string | null };

/**
 * Blobs of the generation that are at the site and not verified, or not since somebody asked for it; in the order of their path ids.
 * @param behind only those with a larger path id: what was handed out before need not be booked yet
 */
export async function blobsToChecksum(
  tx: Tx,
  lane: LaneKey,
  verifyRequestedAt: number | null,
  behind: number,
  limit: number,
): Promise<BlobToChecksum[]> {
  // Rows keep microseconds, orders milliseconds: what was verified within the millisecond of the order is read again.
  const since = verifyRequestedAt === null ? null : verifyRequestedAt + 1;
  const found = await sql<Omit<BlobToChecksum, 'sha256'> & { digest: Uint8Array }>`
    select r.path_id as "pathId", r.blob_id as "blobId", p.path, b.size, b.sha256 as digest, r.etag, null as "badEtag",
      ${lane.distributionId}::int as "distributionId", ${lane.siteId}::int as "siteId", ${lane.generation}::int as generation
    from blob_registry r join blobs b on b.id = r.blob_id join paths p on p.id = r.path_id
    where r.site_id = ${lane.siteId} and r.state = ${SYNCED} and (not r.settled or r.verified_at < ${timestamp(since)}) and ${isMember(lane)}
      and r.path_id > ${behind}
    order by r.path_id limit ${limit}`.execute(tx.kysely);
  return found.rows.map(({ digest, ...blob }) => ({ ...blob, sha256: sha256FromBytes(digest) }));
}

export interface CorruptBlob {
  readonly path: string;
  readonly expected: string;
  readonly found: string;
}

interface Judged {
  readonly path: string;
  readonly size: number;
  readonly expected: Uint8Array;
  readonly found: Uint8Array | null;
  readonly right: boolean;
  readonly wasSettled: boolean;
}

/**
 * Judges what was read (`checksum` null: nothing was there). Wrong and missing blobs become pending with the ETag to repair, and an incident each.
 * A row that changed since it was handed out is left alone: somebody else has judged or repaired it.
 * @throws FENCED
 */
export function recordChecksums(
  db: Database,
  lane: LaneKey,
  read: readonly { readonly pathId: number; readonly blobId: number; readonly etag: string | null; readonly checksum: Checksum | null }[],
): Promise<{ bad: CorruptBlob[]; row: Replication }> {
  return db.transaction(async (tx) => {
    await holdFence(tx, lane);
    const right = sql`(u.sha256 is not null and u.size = b.size and u.sha256 = b.sha256)`;
    const judged = await sql<Judged>`
      with u as (
        select * from unnest(${read.map((r) => r.pathId)}::bigint[], ${read.map((r) => r.blobId)}::bigint[], ${read.map((r) => r.etag)}::text[],
          ${read.map((r) => r.checksum?.etag ?? null)}::text[], ${read.map((r) => r.checksum?.size ?? null)}::bigint[],
          ${read.map((r) => (r.checksum === null ? null : Buffer.from(r.checksum.sha256, 'hex')))}::bytea[])
          u(path_id, blob_id, handed_etag, etag, size, sha256)),
      held as (
        select r.path_id, r.settled as was_settled from blob_registry r join u on u.path_id = r.path_id and u.blob_id = r.blob_id
        where r.site_id = ${lane.siteId} and ${isBefore('corrupt')} and r.etag is not distinct from u.handed_etag
        order by r.path_id for update of r)
      update blob_registry r set
        etag = u.etag,
        state = case when ${right} then r.state else ${after('corrupt')} end,
        verification_state = case when ${right} then ${SUCCEEDED} else ${UNVERIFIED} end,
        verified_at = case when ${right} then now() else r.verified_at end,
        retry_count = 0
      from held join u on u.path_id = held.path_id join blobs b on b.id = u.blob_id join paths p on p.id = u.path_id
      where r.site_id = ${lane.siteId} and r.path_id = held.path_id
      returning p.path, b.size, b.sha256 as expected, u.sha256 as found, ${right} as right, held.was_settled as "wasSettled"`.execute(
      tx.kysely,
    );

    const bad = judged.rows
      .filter((row) => !row.right)
      .map((row) => ({
        path: row.path,
        expected: sha256FromBytes(row.expected),
        found: row.found === null ? 'nothing' : sha256FromBytes(row.found),
      }));
    for (const blob of bad) await recordCorrupt(tx, lane, blob);
    await moveProgress(tx, lane, judged.rows);
    return { bad, row: await rowOf(tx, lane) };
  });
}

/** Progress counts settled blobs: newly right ones come in, rotten ones go out. */
async function moveProgress(tx: Tx, lane: LaneKey, judged: readonly Judged[]): Promise<void> {
  const moved = judged
    .filter((row) => row.right !== row.wasSettled)
    .map((row) => (row.right ? { files: 1, bytes: row.size } : { files: -1, bytes: -row.size }));
  await sql`
    update distribution_replications
    set files_done = files_done + ${moved.reduce((sum, row) => sum + row.files, 0)}, bytes_done = bytes_done + ${moved.reduce((sum, row) => sum + row.bytes, 0)}
    where distribution_id = ${lane.distributionId} and site_id = ${lane.siteId}`.execute(tx.kysely);
}
