/** R and H of the distributions at a site: what was written there, and what may be. */
import { sql, type RawBuilder } from 'kysely';

import type { Deployment } from '../../domain/deployment.ts';
import type { Sha256 } from '../../domain/sha256.ts';
import type { Tx } from '../orm.ts';
import type { LaneIds } from '../replication-row.ts';
import { one } from '../sql.ts';
import { isSpared } from './distrust.ts';

/** H, as it was written last. */
export interface BookedHead {
  readonly etag: string;
  readonly release: Sha256;
  /** Of site_releases: what was published later has a higher one. */
  readonly releaseId: number;
}

/** What this database knows, as of one moment, that H is judged by. */
export interface HeadFacts {
  readonly deployment: Deployment;
  /** How often files were deleted at the site. */
  readonly prunes: number;
  /** R that H named when it was found, and that this database lost (restored.ts); null: none. */
  readonly lost: Sha256 | null;
}

export interface LaneHead extends HeadFacts {
  /** Null: none was written, or by a version that wrote none. */
  readonly head: BookedHead | null;
  /** Since the site was found to be another one, the lane's chain has read every blob back. */
  readonly isReadBack: boolean;
}

export async function readHead(tx: Tx, { siteId, distributionId }: LaneIds): Promise<LaneHead> {
  const found = await one(
    tx,
    sql<
      Omit<LaneHead, 'deployment' | 'head'> &
        Deployment & { [Key in keyof BookedHead]: BookedHead[Key] | null }
    >`
      select d.id, d.epoch, s.prunes,
        lane.verify_taken_at is not null and ${isSpared('lane')} as "isReadBack",
        encode(lane.lost_release, 'hex') as lost,
        h.etag, h.release_id as "releaseId", encode(r.digest, 'hex') as release
      from deployment d
      join replication_sites s on s.id = ${siteId}
      left join site_heads h
        on h.site_id = ${siteId} and h.distribution_id = ${distributionId}
      left join site_releases r on r.id = h.release_id
      left join distribution_replications lane
        on lane.site_id = ${siteId} and lane.distribution_id = ${distributionId}`,
  );
  const { id, epoch, etag, release, releaseId, ...facts } = found!;
  const isBooked = etag !== null && release !== null && releaseId !== null;
  const head = isBooked ? { etag, release, releaseId } : null;
  return { ...facts, deployment: { id, epoch }, head };
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

/**
 * Read after H was: what another attempt wrote meanwhile is known.
 * @returns rank: when R was published here, among the others; null: this database does not know it
 */
export async function readFacts(
  tx: Tx,
  lane: LaneIds,
  digest: Sha256 | null,
): Promise<HeadFacts & { readonly rank: number | null }> {
  const found = await one(
    tx,
    sql<Deployment & Pick<HeadFacts, 'prunes' | 'lost'> & { rank: number | null }>`
      select d.id, d.epoch, s.prunes,
        (
          select encode(lost_release, 'hex')
          from distribution_replications
          where ${ofLane(lane)}
        ) as lost,
        (
          select r.id
          from site_releases r
          where ${ofLane(lane)}
            and r.digest = decode(${digest}, 'hex')
        ) as rank
      from deployment d
      join replication_sites s on s.id = ${lane.siteId}`,
  );
  const { id, epoch, ...facts } = found!;
  return { ...facts, deployment: { id, epoch } };
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
  ),
  forward as (
    update distribution_replications
    set lost_release = null
    where ${ofLane(lane)}
      and lost_release is not null
  )`;
