/** R and H of the distributions at a site: what was written there, and what may be. */
import { sql, type RawBuilder } from 'kysely';

import type { Deployment } from '../../domain/deployment.ts';
import type { Sha256 } from '../../domain/sha256.ts';
import type { Tx } from '../orm.ts';
import type { LaneIds } from '../replication-row.ts';
import { one } from '../sql.ts';

/** H, as it was written last. */
export interface BookedHead {
  readonly etag: string;
  readonly release: Sha256;
  /** Of site_releases: what was published later has a higher one. */
  readonly releaseId: number;
}

export interface LaneHead {
  readonly deployment: Deployment;
  /** Null: none was written, or by a version that wrote none. */
  readonly head: BookedHead | null;
  /** The lane answers a request to verify: its chain has read every blob back since. */
  readonly isReadBack: boolean;
}

export async function readHead(tx: Tx, { siteId, distributionId }: LaneIds): Promise<LaneHead> {
  const found = await one(
    tx,
    sql<
      Deployment &
        Pick<LaneHead, 'isReadBack'> & { [Key in keyof BookedHead]: BookedHead[Key] | null }
    >`
      select d.id, d.epoch, lane.verify_taken_at is not null as "isReadBack",
        h.etag, h.release_id as "releaseId", encode(r.digest, 'hex') as release
      from deployment d
      left join site_heads h
        on h.site_id = ${siteId} and h.distribution_id = ${distributionId}
      left join site_releases r on r.id = h.release_id
      left join distribution_replications lane
        on lane.site_id = ${siteId} and lane.distribution_id = ${distributionId}`,
  );
  const { id, epoch, isReadBack, etag, release, releaseId } = found!;
  const isBooked = etag !== null && release !== null && releaseId !== null;
  const head = isBooked ? { etag, release, releaseId } : null;
  return { deployment: { id, epoch }, head, isReadBack };
}

const ofLane = ({ siteId, distributionId }: LaneIds): RawBuilder<boolean> => sql<boolean>`
  site_id = ${siteId}
  and distribution_id = ${distributionId}`;

/** An insert: R may be at the site from now on. Before it is written; idempotent. */
export const bookingRelease = (
  { siteId, distributionId, generation }: LaneIds & { readonly generation: number },
  digest: Sha256,
): RawBuilder<unknown> => sql`
  insert into site_releases (site_id, distribution_id, generation, digest)
  values (${siteId}, ${distributionId}, ${generation}, decode(${digest}, 'hex'))
  on conflict (site_id, distribution_id, digest) do update set
    generation = excluded.generation,
    removed_at = null`;

/** When R was published here, among the others; null: this database does not know it. */
export async function rankOf(tx: Tx, lane: LaneIds, digest: Sha256): Promise<number | null> {
  const found = await one(
    tx,
    sql<{ id: number }>`
      select id
      from site_releases
      where ${ofLane(lane)}
        and digest = decode(${digest}, 'hex')`,
  );
  return found?.id ?? null;
}

/** R and H, as they stand at the site since a publication. */
export interface WrittenHead {
  readonly release: Sha256;
  readonly releaseEtag: string;
  readonly etag: string;
}

/** For `with`: what is written to the site next expects this. */
export const bookingHead = (
  lane: LaneIds,
  { release, releaseEtag, etag }: WrittenHead,
): RawBuilder<unknown> => sql`
  named as (
    update site_releases
    set etag = ${releaseEtag}
    where ${ofLane(lane)}
      and digest = decode(${release}, 'hex')
    returning site_id, distribution_id, id
  ),
  head as (
    insert into site_heads (site_id, distribution_id, release_id, etag)
    select site_id, distribution_id, id, ${etag}
    from named
    on conflict (site_id, distribution_id) do update set
      release_id = excluded.release_id,
      etag = excluded.etag
  )`;
