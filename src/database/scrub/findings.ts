/**
 * What a scrub has read, and what it found wrong: booked in one transaction with its cursor. Wrong
 * bytes go on record, and the lanes whose served or newest generation names them have to repair
 * them (`rot`), so that `replication_status` falls at once.
 *
 * A row that changed since it was read is left alone: a lane has judged or repaired it, prune is
 * deleting it.
 */
import { sql, type RawBuilder } from 'kysely';

import type { Checksum } from '../../domain/checksum.ts';
import { holdClaim } from '../claims.ts';
import type { Database, Tx } from '../orm.ts';
import { bigints, digests, isRight, recordCorrupt, texts } from '../registry/judgements.ts';
import { blobOf, from, pathOf, SUCCEEDED, to, UNVERIFIED } from '../registry/lane-sql.ts';
import { all, run } from '../sql.ts';
import type { BlobToScrub, NameToScrub } from './pages.ts';
import { namerOf } from './readers.ts';
import { bookRot, lockLanes, lockLanesOf, type Wrong } from './rot.ts';
import type { Cursor, ScrubClaim } from './scrubs.ts';

export type ReadBlob = BlobToScrub & { readonly checksum: Checksum | null };
export type ReadName = NameToScrub & { readonly checksum: Checksum | null };

interface WrongBlob extends Wrong {
  readonly pathId: number;
  readonly blobId: number;
}
interface WrongName extends Wrong {
  readonly distributionId: number;
}

/** What was found in a batch. */
export interface Found {
  readonly wrong: number;
  /** Distributions whose lanes have something to do now. */
  readonly rotten: readonly string[];
}

/**
 * Judges a batch of blobs, and moves the cursor behind it.
 * @throws FENCED
 */
export function bookBlobs(
  db: Database,
  scrub: ScrubClaim,
  read: readonly ReadBlob[],
  cursor: Cursor,
): Promise<Found> {
  return db.transaction(async (tx) => {
    const seen = await all(tx, wrongBlobs(scrub, read));
    const lanes = seen.length === 0 ? [] : await lockLanesOf(tx, scrub, seen);
    await advance(tx, scrub, cursor, read);
    const wrong = seen.length === 0 ? [] : await bookWrong(tx, scrub, read);
    const doubted = read.filter(({ isDoubted }) => isDoubted);
    if (doubted.length > 0) await bookRight(tx, scrub, doubted);
    await countWrong(tx, scrub, wrong.length);
    const rotten: string[] = [];
    const named = new Set<number>();
    for (const lane of lanes) {
      const ofLane = wrong.filter(({ blobId }) => lane.blobIds.includes(blobId));
      ofLane.forEach(({ blobId }) => named.add(blobId));
      if (await bookRot(tx, scrub, lane, ofLane)) rotten.push(lane.distribution);
    }
    for (const blob of wrong) if (!named.has(blob.blobId)) await recordOfNoLane(tx, scrub, blob);
    return { wrong: wrong.length, rotten };
  });
}

/**
 * Judges a batch of published names, and moves the cursor behind it. A wrong one is no longer
 * verified: the next publication of its lane reads all of them back, and judges whose bytes those
 * are.
 * @throws FENCED
 */
export function bookNames(
  db: Database,
  scrub: ScrubClaim,
  read: readonly ReadName[],
  cursor: Cursor,
): Promise<Found> {
  const seen = read.filter(({ sha256, checksum }) => sha256 !== (checksum?.sha256 ?? null));
  const ids = [...new Set(seen.map(({ distributionId }) => distributionId))];
  return db.transaction(async (tx) => {
    const lanes = await lockLanes(tx, scrub, ids);
    await advance(
      tx,
      scrub,
      cursor,
      read.map((name) => ({ ...name, size: name.checksum?.size ?? 0 })),
    );
    const wrong = seen.length === 0 ? [] : await doubtNames(tx, scrub, seen);
    await countWrong(tx, scrub, wrong.length);
    const rotten: string[] = [];
    for (const lane of lanes) {
      const ofLane = wrong.filter((name) => name.distributionId === lane.distributionId);
      if (await bookRot(tx, scrub, lane, ofLane)) rotten.push(lane.distribution);
    }
    return { wrong: wrong.length, rotten };
  });
}

/** `u`, what was read; to stand behind `from`. */
const readRows = (read: readonly ReadBlob[]): RawBuilder<unknown> => sql`
  unnest(
    ${bigints(read.map((blob) => blob.pathId))},
    ${bigints(read.map((blob) => blob.blobId))},
    ${texts(read.map((blob) => blob.etag))},
    ${texts(read.map((blob) => blob.checksum?.etag ?? null))},
    ${bigints(read.map((blob) => blob.checksum?.size ?? null))},
    ${digests(read.map((blob) => blob.checksum?.sha256 ?? null))}
  ) u(path_id, blob_id, handed_etag, etag, size, sha256)`;

/** Of `r` and `u`: that the row is as it was when the site was asked. */
const IS_AS_READ = sql<boolean>`(
  ${from('corrupt')}
  and r.verified_at is not null
  and r.etag is not distinct from u.handed_etag)`;

const WRONG = sql`
  r.path_id as "pathId",
  r.blob_id as "blobId",
  ${pathOf(sql`r.path_id`)} as path,
  encode(b.sha256, 'hex') as expected,
  coalesce(encode(u.sha256, 'hex'), 'nothing') as found`;

const wrongBlobs = (
  { siteId }: ScrubClaim,
  read: readonly ReadBlob[],
): RawBuilder<WrongBlob> => sql<WrongBlob>`
  select ${WRONG}
  from ${readRows(read)}
  join blob_registry r
    on r.site_id = (select ${siteId}::int) and r.path_id = u.path_id and r.blob_id = u.blob_id
  cross join ${blobOf(sql`u.blob_id`)}
  where ${IS_AS_READ}
    and not ${isRight}`;

/**
 * The rows become pending, with the ETag that has the wrong bytes: the repair is If-Match on it.
 */
const bookWrong = (
  tx: Tx,
  { siteId }: ScrubClaim,
  read: readonly ReadBlob[],
): Promise<WrongBlob[]> =>
  all(
    tx,
    sql<WrongBlob>`
      update blob_registry r
      set etag = u.etag,
        state = ${to('corrupt')},
        verification_state = ${UNVERIFIED},
        retry_count = 0
      from ${readRows(read)}
      cross join ${blobOf(sql`u.blob_id`)}
      where r.site_id = (select ${siteId}::int)
        and r.path_id = u.path_id
        and r.blob_id = u.blob_id
        and ${IS_AS_READ}
        and not ${isRight}
      returning ${WRONG}`,
  );

/** What was not believed any more is there, as it was. */
const bookRight = (tx: Tx, { siteId }: ScrubClaim, read: readonly ReadBlob[]): Promise<number> =>
  run(
    tx,
    sql`
      update blob_registry r
      set etag = u.etag,
        verification_state = ${SUCCEEDED},
        verified_at = now()
      from ${readRows(read)}
      cross join ${blobOf(sql`u.blob_id`)}
      where r.site_id = (select ${siteId}::int)
        and r.path_id = u.path_id
        and r.blob_id = u.blob_id
        and ${IS_AS_READ}
        and not r.settled
        and ${isRight}`,
  );

/** Those of the names that are as they were when the site was asked. */
const doubtNames = (
  tx: Tx,
  { siteId }: ScrubClaim,
  seen: readonly ReadName[],
): Promise<WrongName[]> =>
  all(
    tx,
    sql<WrongName>`
      update published_names n
      set verified_at = null
      from unnest(
        ${bigints(seen.map((name) => name.distributionId))},
        ${texts(seen.map((name) => name.path))},
        ${texts(seen.map((name) => name.etag))},
        ${digests(seen.map((name) => name.sha256))},
        ${digests(seen.map((name) => name.checksum?.sha256 ?? null))}
      ) u(distribution_id, path, etag, sha256, found)
      where n.site_id = ${siteId}
        and n.distribution_id = u.distribution_id
        and n.path = u.path
        and n.etag is not distinct from u.etag
        and n.sha256 is not distinct from u.sha256
        and n.verified_at is not null
      returning n.distribution_id as "distributionId",
        n.path,
        coalesce(encode(n.sha256, 'hex'), 'nothing') as expected,
        coalesce(encode(u.found, 'hex'), 'nothing') as found`,
  );

/** An incident of a distribution that names the blob in an older generation. */
async function recordOfNoLane(tx: Tx, { siteId }: ScrubClaim, blob: WrongBlob): Promise<void> {
  const distributionId = await namerOf(tx, blob);
  if (distributionId === null) return;
  await recordCorrupt(tx, { distributionId, siteId, generation: null }, blob);
}

/** So much more was read. @throws FENCED */
async function advance(
  tx: Tx,
  { siteId, claim }: ScrubClaim,
  { pathId, distributionId, name }: Cursor,
  read: readonly { readonly size: number }[],
): Promise<void> {
  await run(
    tx,
    sql`
      update scrubs
      set path_id = ${pathId},
        distribution_id = ${distributionId},
        name = ${name},
        files = files + ${read.length},
        bytes = bytes + ${read.reduce((sum, { size }) => sum + size, 0)}
      where site_id = ${siteId}`,
  );
  await holdClaim(tx, { claim });
}

const countWrong = (tx: Tx, { siteId }: ScrubClaim, wrong: number): Promise<unknown> =>
  wrong === 0
    ? Promise.resolve()
    : run(
        tx,
        sql`
          update scrubs
          set wrong = wrong + ${wrong}
          where site_id = ${siteId}`,
      );
