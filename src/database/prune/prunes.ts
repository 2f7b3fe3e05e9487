/**
 * The row of a site's prune: what its workflow decides on, and what status shows. Each writer
 * answers with the row that it commits.
 */
import { sql, type RawBuilder } from 'kysely';

import { ruleOf, type ErrorReport } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import { backoffMs, type SitePrune } from '../../domain/replication.ts';
import { type Database, type Tx } from '../orm.ts';
import { QUEUE } from '../replication-row.ts';
import { ms, all, one, run, later } from '../sql.ts';

/**
 * The first prune of a site comes an interval after this was asked for first. Not there: not
 * enabled.
 */
export function loadPrune(db: Database, site: string): Promise<SitePrune> {
  return db.transaction(async (tx) => {
    await run(
      tx,
      sql`
      insert into prunes (site_id, next_at) select id, ${later(sql`prune_interval_ms`)} from replication_sites where name = ${site}
      on conflict do nothing`,
    );
    return readPrune(tx, site);
  });
}

async function readPrune(tx: Tx, site: string): Promise<SitePrune> {
  const row = await one(
    tx,
    sql<SitePrune>`
      select s.name as site, ${QUEUE} as queue, s.enabled, ${ms('p.next_at')} as "nextAt",
             ${ms('p.started_at')} as "startedAt", ${ms('p.ended_at')} as "endedAt", p.blobs, p.bytes, p.snapshots, p.more, p.failure_code as code
      from prunes p join replication_sites s on s.id = p.site_id where s.name = ${site}`,
  );
  const nothing = {
    startedAt: null,
    endedAt: null,
    blobs: 0,
    bytes: 0,
    snapshots: 0,
    more: false,
    code: null,
  };
  return row ?? { site, queue: '', enabled: false, nextAt: 0, ...nothing };
}

/** A run begins: what it deletes is counted from here. */
export const startPrune = (db: Database, siteId: number): Promise<unknown> =>
  run(
    db.read,
    sql`update prunes set started_at = now(), blobs = 0, bytes = 0, snapshots = 0, more = false where site_id = ${siteId}`,
  );

/** All that the share allows is marked. */
export async function recordMarked(db: Database, site: string, more: boolean): Promise<SitePrune> {
  return write(db, site, sql`more = ${more}`);
}

/** The run has ended well. */
export const finishPrune = (db: Database, site: string, snapshots: number): Promise<SitePrune> =>
  write(
    db,
    site,
    sql`ended_at = now(), snapshots = p.snapshots + ${snapshots}, failure_code = null, failure = null, failure_count = 0,
        next_at = ${later(sql`s.prune_interval_ms`)}`,
  );

/**
 * The run failed and is tried again: sooner than the next one would come, unless a person has to
 * act first, and ever later.
 */
export const recordPruneFailure = (
  db: Database,
  site: string,
  report: ErrorReport,
): Promise<SitePrune> =>
  db.transaction(async (tx) => {
    const rows = await all(
      tx,
      sql<{ count: number }>`
      select p.failure_count + 1 as count from prunes p join replication_sites s on s.id = p.site_id where s.name = ${site} for update of p`,
    );
    const backoff = backoffMs(
      rows[0]?.count ?? 1,
      Math.random(),
      LIMITS.backoffInitialMs,
      LIMITS.backoffCapMs,
    );
    const wait =
      ruleOf(report.code).then === 'person'
        ? sql`s.prune_interval_ms`
        : sql`least(s.prune_interval_ms, ${backoff}::bigint)`;
    return write(
      tx,
      site,
      sql`failure_code = ${report.code}, failure = ${JSON.stringify(report)}::jsonb, failure_count = p.failure_count + 1, next_at = ${later(wait)}`,
    );
  });

async function write(
  at: Database | Tx,
  site: string,
  assignments: RawBuilder<unknown>,
): Promise<SitePrune> {
  const tx = 'read' in at ? at.read : at;
  await run(
    tx,
    sql`update prunes p set ${assignments} from replication_sites s where s.id = p.site_id and s.name = ${site}`,
  );
  return readPrune(tx, site);
}

/** What an operator sees of the last prune of a site. */
export interface PruneStatus extends SitePrune {
  readonly siteId: number;
  readonly failure: ErrorReport | null;
}

/** Of each enabled site, by name. */
export const readPrunes = async (db: Database): Promise<PruneStatus[]> => {
  const rows = await all(
    db.read,
    sql<{ site: string; siteId: number; failure: ErrorReport | null }>`
    select s.name as site, s.id as "siteId", p.failure from replication_sites s left join prunes p on p.site_id = s.id
    where s.enabled order by s.name`,
  );
  return Promise.all(
    rows.map(async ({ site, ...row }) => ({ ...(await readPrune(db.read, site)), ...row })),
  );
};
