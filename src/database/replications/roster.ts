/** All that the workflow of a distribution decides on. */
import { sql } from 'kysely';

import type { Replication, Roster, Tuning } from '../../domain/replication.ts';
import type { StoredTuning } from '../entities/debian-distribution.ts';
import type { Database, Tx } from '../orm.ts';
import { bookkeeping } from '../patience.ts';
import { ARCHIVE_QUEUE, failedSince, REPLICATION_COLUMNS } from '../replication-row.ts';
import { all, ms, msUntil, one, run } from '../sql.ts';

const TUNING: Tuning = { gatherMs: 1_000, drainMs: 60_000, historyEventsMax: 1e9 };

/** A distribution that is not there, or marked removed, is `removed` and has no lanes. */
export function loadRoster(db: Database, distribution: string): Promise<Roster> {
  return bookkeeping(db, async (tx) => {
    // Before it is read: what an apply commits meanwhile stays unseen, or is in the roster.
    await run(
      tx,
      sql`
        update debian_distributions
        set seen_rev = changed_rev
        where name = ${distribution}
          and seen_rev < changed_rev`,
    );
    return readRoster(tx, distribution);
  });
}

/** In SQL: the distribution and its lanes by one statement, so that they are of one moment. */
export async function readRoster(tx: Tx, name: string): Promise<Roster> {
  const row = await one(
    tx,
    sql<
      Omit<Roster, 'replications' | 'tuning'> & {
        tuning: StoredTuning;
        replications: Replication[];
      }
    >`
      select d.name as distribution, d.removed, d.latest_generation as generation,
        d.replication_status as status, d.failure_code as code,
        ${ms('d.next_look_at')} as "nextLookAt", ${msUntil('d.next_look_at')} as "nextLookInMs",
        ${ms('d.looked_at')} as "lookedAt",
        case when d.failure_code is not null then ${failedSince(sql`null`)} end as "failedSince",
        (select json_build_object('url', a.url, 'queue', ${ARCHIVE_QUEUE})
         from archives a
         where a.id = d.archive_id) as archive,
        d.tuning, d.rev,
        (select coalesce(json_agg(lane order by lane.site), '[]')
         from (
           select ${REPLICATION_COLUMNS}
           from distribution_replications r
           join replication_sites s on s.id = r.site_id
           where r.distribution_id = d.id
             and s.enabled
             and not d.removed) lane) as replications
      from debian_distributions d
      where d.name = ${name}`,
  );
  if (row === null) return removedRoster(tx, name);
  const { gatherMs, drainMs, historyEventsMax } = { ...TUNING, ...row.tuning };
  return { ...row, tuning: { gatherMs, drainMs, historyEventsMax } };
}

/** Newer than whatever was read of the distribution while it was there. */
async function removedRoster(tx: Tx, distribution: string): Promise<Roster> {
  const [next] = await all(tx, sql<{ rev: number }>`select nextval('revision') as rev`);
  return {
    distribution,
    removed: true,
    generation: 0,
    status: 'pending',
    code: null,
    nextLookAt: 0,
    tuning: TUNING,
    replications: [],
    rev: next!.rev,
  };
}
