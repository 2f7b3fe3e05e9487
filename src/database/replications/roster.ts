/** All that the workflow of a distribution decides on. */
import { sql } from 'kysely';

import type { Replication, Roster, Tuning } from '../../domain/replication.ts';
import type { StoredTuning } from '../entities/debian-distribution.ts';
import type { Database, Tx } from '../orm.ts';
import { bookkeeping } from '../patience.ts';
import { ARCHIVE_QUEUE, failedSince, REPLICATION_COLUMNS } from '../replication-row.ts';
import { all, ms, msUntil, one, run } from '../sql.ts';

/**
 * A worker that takes a run over replays all of its events before it does anything: a second for
 * 1,000 on an idle machine, ten times that on one that is busy, and the server waits for ten
 * seconds. A change is about 30 events, and continuing as new about ten; lanes that copy for the
 * first time need more.
 */
const eventsMax = (lanes: number): number => 1_000 + 100 * lanes;

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
  return { ...row, tuning: tuningOf(row.replications.length, row.tuning) };
}

const tuningOf = (lanes: number, stored: StoredTuning): Tuning => ({
  gatherMs: stored.gatherMs ?? 1_000,
  drainMs: stored.drainMs ?? 60_000,
  historyEventsMax: stored.historyEventsMax ?? eventsMax(lanes),
});

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
    tuning: tuningOf(0, {}),
    replications: [],
    rev: next!.rev,
  };
}
