/** H of all distributions at a site, as prune compares them. */
import { sql } from 'kysely';

import type { Sha256 } from '../../domain/sha256.ts';
import type { Tx } from '../orm.ts';
import { IS_TO_ASK } from '../prune/held-files.ts';
import { keptGenerations } from '../prune/kept-generations.ts';
import { all, one, run } from '../sql.ts';
import type { BookedHead } from './heads.ts';

export interface HeadOfSite {
  readonly distributionId: number;
  readonly mount: string;
  readonly suite: string;
  readonly head: BookedHead | null;
  /** A lane publishes there. */
  readonly isReplicated: boolean;
  /** A release that this database lost is visible there. */
  readonly isLost: boolean;
  /** Clients may read another release there than the rows say, or did within its grace. */
  readonly isSpared: boolean;
}

/** Of every distribution that is, or was, replicated to the site; by mount and suite. */
export async function listHeads(tx: Tx, siteId: number): Promise<HeadOfSite[]> {
  const rows = await all(
    tx,
    sql<Omit<HeadOfSite, 'head'> & { [Key in keyof BookedHead]: BookedHead[Key] | null }>`
      select d.id as "distributionId", a.mount, d.suite,
        h.etag, h.release_id as "releaseId", encode(r.digest, 'hex') as release,
        exists (
          select
          from distribution_replications own
          where own.distribution_id = d.id
            and own.site_id = ${siteId}
        ) as "isReplicated",
        exists (
          select
          from distribution_replications lost
          where lost.distribution_id = d.id
            and lost.site_id = ${siteId}
            and lost.lost_release is not null
        ) as "isLost",
        exists (
          select
          from distribution_replications spared
          where spared.distribution_id = d.id
            and spared.site_id = ${siteId}
            and spared.spared_until > now()
        ) as "isSpared"
      from debian_distributions d
      join archives a on a.id = d.archive_id
      left join site_heads h on h.distribution_id = d.id and h.site_id = ${siteId}
      left join site_releases r on r.id = h.release_id
      where exists (
          select
          from site_releases known
          where known.distribution_id = d.id
            and known.site_id = ${siteId}
        )
        or exists (
          select
          from distribution_replications lane
          where lane.distribution_id = d.id
            and lane.site_id = ${siteId}
        )
      order by a.mount, d.suite`,
  );
  return rows.map(({ etag, release, releaseId, ...at }) => ({
    ...at,
    head:
      etag === null || release === null || releaseId === null ? null : { etag, release, releaseId },
  }));
}

/** An R that is at a site, or may be. */
export interface ReleaseAtSite {
  readonly id: number;
  readonly mount: string;
  readonly suite: string;
  readonly digest: Sha256;
  /** Null: the answer to its write was lost. */
  readonly etag: string | null;
}

/**
 * Those of generations that need not be kept at the site any more, the oldest first; never what H
 * names, nor what the site refused to delete of late.
 */
export function listUnneededReleases(
  tx: Tx,
  siteId: number,
  limit: number,
): Promise<ReleaseAtSite[]> {
  return all(
    tx,
    sql<ReleaseAtSite>`
      with kept as materialized (${keptGenerations(siteId)})
      select r.id, a.mount, d.suite, encode(r.digest, 'hex') as digest, r.etag
      from site_releases r
      join debian_distributions d on d.id = r.distribution_id
      join archives a on a.id = d.archive_id
      where r.site_id = ${siteId}
        and r.removed_at is null
        and ${IS_TO_ASK}
        and not exists (
          select
          from kept k
          where k.distribution_id = r.distribution_id
            and k.generation = r.generation
        )
        and not exists (
          select
          from site_heads h
          where h.release_id = r.id
        )
      order by r.id
      limit ${limit}`,
  );
}

/** A slice of a prune that deletes files begins: H has to say so before. */
export const countPrune = async (tx: Tx, siteId: number): Promise<number> =>
  (await one(
    tx,
    sql<{ prunes: number }>`
      update replication_sites
      set prunes = prunes + 1
      where id = ${siteId}
      returning prunes`,
  ))!.prunes;

/** H says of more of them than this database knows. */
export const raisePrunes = (tx: Tx, siteId: number, pruned: number): Promise<number> =>
  run(
    tx,
    sql`
      update replication_sites
      set prunes = greatest(prunes, ${pruned})
      where id = ${siteId}`,
  );

/** H was written anew, and names the same release. */
export const bookHeadAgain = (
  tx: Tx,
  siteId: number,
  { distributionId, head }: { readonly distributionId: number; readonly head: BookedHead },
  etag: string,
): Promise<unknown> =>
  run(
    tx,
    sql`
      update site_heads
      set etag = ${etag}
      where site_id = ${siteId}
        and distribution_id = ${distributionId}
        and etag = ${head.etag}`,
  );

/** Its row stays: it says that what came later was published after it. */
export const bookReleaseGone = (tx: Tx, id: number): Promise<unknown> =>
  run(
    tx,
    sql`
      update site_releases
      set removed_at = now()
      where id = ${id}`,
  );

export const bookReleaseHeld = (tx: Tx, id: number): Promise<unknown> =>
  run(
    tx,
    sql`
      update site_releases
      set refused_at = now()
      where id = ${id}`,
  );
