/**
 * Repairs that the scrub makes itself, under its claim: of blobs that were found wrong and that no
 * lane takes. Either only releases in their grace name them, or the lane that would take them is
 * parked, held by an operator, or publishing.
 */
import { sql, type RawBuilder } from 'kysely';

import { holdClaim, IS_FREE } from '../claims.ts';
import { resolveCorrupt } from '../incidents.ts';
import type { Database, Tx } from '../orm.ts';
import { keptGenerations } from '../prune/kept-generations.ts';
import { finishBlobs, type WantedBlob } from '../registry/claims.ts';
import { blobOf, FAILED, from, pathOf, STARTED, to } from '../registry/lane-sql.ts';
import { awaitsPerson } from '../replications/parked.ts';
import { all, run } from '../sql.ts';
import type { ScrubClaim } from './scrubs.ts';

/** A blob to repair, for the first distribution that names it. */
export type RottenBlob = WantedBlob & { readonly distribution: string };

/**
 * Claims rotten blobs for this attempt, in the order of their path ids.
 * @throws FENCED
 */
export function claimRotten(
  db: Database,
  { siteId, claim }: ScrubClaim,
  limit: number,
): Promise<RottenBlob[]> {
  return db.transaction(async (tx) => {
    await holdClaim(tx, { claim });
    const claimed = await all(
      tx,
      sql<Omit<RottenBlob, 'siteId'>>`
        with kept as materialized (${keptGenerations(siteId)}),
        rotten as (
          select r.path_id, r.blob_id, namer.distribution_id, namer.generation
          from ${rottenRows(siteId)}
            and ${from('claim')}
            and (r.state <> ${STARTED} or ${IS_FREE})
          order by r.path_id
          limit ${limit}
          for update of r skip locked
        )
        update blob_registry r
        set state = ${to('claim')},
          claim = ${claim},
          attempt = 0
        from rotten
        join debian_distributions d on d.id = rotten.distribution_id
        cross join ${blobOf(sql`rotten.blob_id`)}
        where r.site_id = ${siteId}
          and r.path_id = rotten.path_id
        returning r.path_id as "pathId",
          r.blob_id as "blobId",
          ${pathOf(sql`r.path_id`)} as path,
          b.size,
          encode(b.sha256, 'hex') as sha256,
          r.etag as "badEtag",
          d.id as "distributionId",
          d.name as distribution,
          rotten.generation`,
    );
    return claimed.map((blob) => ({ ...blob, siteId })).sort((a, b) => a.pathId - b.pathId);
  });
}

/** A pass begins: what could not be repaired in the one before is tried once more. */
export const retryRotten = (tx: Tx, siteId: number): Promise<number> =>
  run(
    tx,
    sql`
      with kept as materialized (${keptGenerations(siteId)}),
      rotten as (
        select r.path_id
        from ${rottenRows(siteId)}
          and r.state = ${FAILED}
        order by r.path_id
        for update of r skip locked
      )
      update blob_registry r
      set state = ${to('plan')},
        retry_count = 0,
        failure_code = null
      from rotten
      where r.site_id = ${siteId}
        and r.path_id = rotten.path_id`,
  );

/**
 * To stand behind `from`, after `with kept`: `r`, rows that were verified once and are not now,
 * which a kept generation names (`namer`) and no lane takes.
 */
const rottenRows = (siteId: number): RawBuilder<unknown> => sql`
  blob_registry r
  cross join lateral (
    select k.distribution_id, k.generation
    from kept k
    join snapshot_blobs m on m.distribution_id = k.distribution_id
    where m.blob_id = r.blob_id
      and k.generation >= m.from_generation
      and k.generation < m.to_generation
    order by k.distribution_id, k.generation desc
    limit 1
  ) namer
  where r.site_id = ${siteId}
    and not r.settled
    and r.verified_at is not null
    and ${IS_OF_NO_LANE}`;

/** Of `r`: no lane takes its blob, as none works or shall work on a generation that names it. */
export const IS_OF_NO_LANE = sql<boolean>`
  not exists (
    select
    from distribution_replications l
    join debian_distributions d on d.id = l.distribution_id and not d.removed
    join snapshot_blobs m on m.distribution_id = l.distribution_id and m.blob_id = r.blob_id
    where l.site_id = r.site_id
      and coalesce(l.pinned_generation, l.desired_generation) >= m.from_generation
      and coalesce(l.pinned_generation, l.desired_generation) < m.to_generation
      and not l.paused
      and (
        l.state in ('pending', 'started')
        or l.state = 'failed' and not ${awaitsPerson('l')}
      )
      and not exists (
        select
        from publications p
        where p.distribution_id = l.distribution_id
          and p.site_id = l.site_id
          and p.published_at is null
          and p.given_up_at is null
      )
  )`;

/**
 * Books blobs that were written and read back; those that are right now are no incident any more.
 * @returns how many are right
 * @throws FENCED
 */
export async function bookRepaired(
  db: Database,
  { siteId, claim }: ScrubClaim,
  done: readonly (Parameters<typeof finishBlobs>[2][number] & { readonly blob: RottenBlob })[],
): Promise<number> {
  let files = 0;
  for (const [distributionId, ofOne] of Map.groupBy(done, ({ blob }) => blob.distributionId)) {
    const { generation } = ofOne[0]!.blob;
    const settled = await finishBlobs(
      db,
      { distributionId, siteId, generation, ticket: 0, claim },
      ofOne,
    );
    files += settled.files;
  }
  const right = done.filter(({ blob, checksum }) => checksum.sha256 === blob.sha256);
  await db.transaction(async (tx) => {
    for (const { blob } of right) await resolveCorrupt(tx, blob, 'repaired by the scrub');
    await run(
      tx,
      sql`
        update scrubs
        set repaired = repaired + ${files}
        where site_id = ${siteId}`,
    );
  });
  return files;
}
