/** What `status` shows: lanes, exact counts from the registry, open incidents. Reads only. */
import { sql } from 'kysely';

import type { ErrorCode, ErrorReport } from '../../domain/errors.ts';
import type { ReplicationState, ReplicationStatus } from '../../domain/replication.ts';
import { type Database, type Tx } from '../orm.ts';
import { readPrunes, type PruneStatus } from '../prune/prunes.ts';
import { SYNCED } from '../registry/lane-sql.ts';
import { BYTES_DONE, FILES_DONE } from '../replication-row.ts';
import { judgeNewest, readNewestRelease } from '../replications/newest-release.ts';
import { isOverdue } from '../scrub/overdue.ts';
import { ms, all } from '../sql.ts';
import { readScrubs, type ScrubStatus } from './scrubs.ts';

export interface SiteStatus {
  readonly site: string;
  /** The site that is advertised, and the first source of repairs. */
  readonly primary: boolean;
  readonly publicUrl: string;
  /** Generations; 0: none. */
  readonly served: number;
  readonly target: number;
  /** The generation that the lane works on; null: none. */
  readonly pinned: number | null;
  /**
   * Of the served generation. Untorn: apt finds it whole at every instant; windowed: not while
   * published names change (I1).
   */
  readonly class: 'untorn' | 'windowed' | null;
  readonly windowMs: number | null;
  readonly state: ReplicationState;
  readonly paused: boolean;
  readonly filesDone: number;
  readonly filesTotal: number;
  readonly bytesDone: number;
  readonly bytesTotal: number;
  /**
   * Of the served generation, counted now: its members, those at the site, those of them that are
   * verified.
   */
  readonly members: number;
  readonly synced: number;
  readonly verified: number;
  /**
   * The oldest verification of a member, milliseconds since 1970: the start of the last complete
   * scrub at the earliest. Null unless all are verified.
   */
  readonly verifiedAt: number | null;
  /** Of the whole site; null: it has none. Where it is overdue, `status` is not success. */
  readonly scrub: ScrubStatus | null;
  /** Of the whole site: the last prune, and when the next one begins. */
  readonly prune: PruneStatus | null;
  /**
   * The publication that is open: from its first possible write until InRelease is there, some
   * published names may be of this generation and some of the served one.
   */
  readonly publication: { readonly generation: number; readonly since: number } | null;
  /** When a failed lane tries again, milliseconds since 1970; null: it is not failed. */
  readonly retryAt: number | null;
  readonly retryCount: number;
  readonly failure: ErrorReport | null;
  readonly verifyRequestedAt: number | null;
  /** The last command to verify that was answered, by its verifyRequestedAt. */
  readonly verifyAnsweredAt: number | null;
}

interface IncidentStatus {
  readonly site: string | null;
  readonly generation: number | null;
  readonly code: ErrorCode;
  readonly path: string | null;
  readonly message: string;
  readonly expected: string | null;
  readonly found: string | null;
  readonly times: number;
  /** Milliseconds since 1970. */
  readonly firstAt: number;
  readonly lastAt: number;
}

export interface DistributionStatus {
  readonly distribution: string;
  readonly archive: string;
  readonly suite: string;
  readonly status: ReplicationStatus;
  /** The newest that was captured; 0 before the first. */
  readonly generation: number;
  /** Milliseconds since 1970. */
  readonly lookedAt: number | null;
  readonly nextLookAt: number;
  /** Of the last look at the archive; null when it was fine. */
  readonly failure: ErrorReport | null;
  /** RELEASE_STALE where the newest release is older than `stale_after`, else null. */
  readonly stale: ErrorReport | null;
  /** KEY_EXPIRES where what signed the newest release expires within 30 days, else null. */
  readonly expiring: ErrorReport | null;
  readonly sites: readonly SiteStatus[];
  /** Open ones, the latest first. */
  readonly incidents: readonly IncidentStatus[];
}

const INCIDENTS_SHOWN = 20;

/**
 * Of `d`: that one of its sites is overdue to be read back. Asked now, because a roll-up needs a
 * worker, and time passes without one.
 */
const HAS_OVERDUE = sql<boolean>`exists (
  select
  from distribution_replications r
  join replication_sites s on s.id = r.site_id
  where r.distribution_id = d.id
    and s.enabled
    and ${isOverdue(sql`s.id`)})`;

/** Of one distribution, or of all, by name; without those that do not exist or were removed. */
export async function readStatus(
  db: Database,
  distribution?: string,
): Promise<DistributionStatus[]> {
  const tx = db.read;
  const rows = await all(
    tx,
    sql<Omit<DistributionStatus, 'stale' | 'expiring' | 'sites' | 'incidents'> & { id: number }>`
      select d.id,
        d.name as distribution,
        a.name as archive,
        d.suite,
        case
          when d.replication_status = 'success' and ${HAS_OVERDUE} then 'pending'
          else d.replication_status
        end as status,
        d.latest_generation as generation,
        ${ms('d.looked_at')} as "lookedAt",
        ${ms('d.next_look_at')} as "nextLookAt",
        d.failure
      from debian_distributions d
      join archives a on a.id = d.archive_id
      where not d.removed
        and (${distribution ?? null}::text is null or d.name = ${distribution ?? null})
      order by d.name`,
  );
  const statuses: DistributionStatus[] = [];
  const scrubs = new Map((await readScrubs(db)).map((one) => [one.site, one]));
  const prunes = new Map((await readPrunes(db)).map((one) => [one.site, one]));
  const ofSite = ({ site }: OfLane): Pick<SiteStatus, 'scrub' | 'prune'> => ({
    scrub: scrubs.get(site) ?? null,
    prune: prunes.get(site) ?? null,
  });
  for (const { id, ...row } of rows) {
    statuses.push({
      ...row,
      ...judgeNewest(await readNewestRelease(tx, id), new Date()),
      sites: (await readSites(tx, id)).map((one) => ({ ...one, ...ofSite(one) })),
      incidents: await readIncidents(tx, id),
    });
  }
  return statuses;
}

type OfLane = Omit<SiteStatus, 'scrub' | 'prune'>;

/** Members are counted in `g`, the row of each in the registry. */
const readSites = (tx: Tx, distributionId: number): Promise<OfLane[]> =>
  all(
    tx,
    sql<OfLane>`
      select s.name as site,
        s.id is not distinct from d.replication_site_id as "primary",
        s.public_url as "publicUrl",
        r.served_generation as served,
        r.desired_generation as target,
        r.pinned_generation as pinned,
        case when served.untorn then 'untorn' when not served.untorn then 'windowed' end as class,
        r.window_ms as "windowMs",
        r.state,
        r.paused,
        ${FILES_DONE} as "filesDone",
        r.files_total as "filesTotal",
        ${BYTES_DONE} as "bytesDone",
        r.bytes_total as "bytesTotal",
        counts.members, counts.synced, counts.verified,
        ${ms(sql`case when counts.oldest is not null
          then greatest(counts.oldest, c.last_started_at) end`)} as "verifiedAt",
        (
          select json_build_object('generation', p.generation, 'since', ${ms('p.started_at')})
          from publications p
          where p.distribution_id = r.distribution_id
            and p.site_id = r.site_id
            and p.published_at is null
            and p.given_up_at is null
        ) as publication,
        ${ms('r.retry_at')} as "retryAt",
        r.retry_count as "retryCount",
        r.failure,
        ${ms('r.verify_requested_at')} as "verifyRequestedAt",
        ${ms('r.verify_answered_at')} as "verifyAnsweredAt"
      from distribution_replications r
      join replication_sites s on s.id = r.site_id
      join debian_distributions d on d.id = r.distribution_id
      left join scrubs c on c.site_id = s.id
      left join distribution_snapshots served
        on served.distribution_id = r.distribution_id and served.generation = r.served_generation
      cross join lateral (
        select count(*) as members,
          count(*) filter (where g.state = ${SYNCED}) as synced,
          count(*) filter (where g.settled) as verified,
          case when bool_and(g.settled is true) then min(g.verified_at) end as oldest
        from snapshot_blobs m
        join blobs b on b.id = m.blob_id
        left join blob_registry g
          on g.site_id = r.site_id and g.path_id = b.path_id and g.blob_id = b.id
        where m.distribution_id = r.distribution_id
          and m.from_generation <= r.served_generation
          and m.to_generation > r.served_generation
      ) counts
      where r.distribution_id = ${distributionId}
        and s.enabled
      order by s.id is distinct from d.replication_site_id, s.name`,
  );

const readIncidents = (tx: Tx, distributionId: number): Promise<IncidentStatus[]> =>
  all(
    tx,
    sql<IncidentStatus>`
      select s.name as site,
        i.generation, i.code, i.path, i.message, i.expected, i.found, i.times,
        ${ms('i.first_at')} as "firstAt",
        ${ms('i.last_at')} as "lastAt"
      from incidents i
      left join replication_sites s on s.id = i.site_id
      where i.distribution_id = ${distributionId}
        and i.resolved_at is null
      order by i.last_at desc, i.id desc
      limit ${INCIDENTS_SHOWN}`,
  );
