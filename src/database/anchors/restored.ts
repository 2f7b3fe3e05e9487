/**
 * This database turned out to be older than it was: it was restored from a backup. What it knows of
 * its sites is not believed any more, and lanes go forward from what stands there.
 */
import { sql } from 'kysely';

import type { ErrorReport } from '../../domain/errors.ts';
import type { Sha256 } from '../../domain/sha256.ts';
import { dropClaims } from '../claims.ts';
import { recordEvent, recordIncident } from '../incidents.ts';
import type { Database, Tx } from '../orm.ts';
import { bookkeeping } from '../patience.ts';
import { giveUpPublication } from '../publications/give-up.ts';
import type { LaneIds } from '../replication-row.ts';
import { rollUp } from '../replications/roll-up.ts';
import { all, one, run } from '../sql.ts';
import { distrustSite } from './distrust.ts';
import { raisePrunes } from './site-heads.ts';

/** What an H says that this database cannot have written as it is now. */
export interface LostHead {
  /** Of the database that wrote it: this one, before it was restored. */
  readonly epoch: number;
  /** R that is unknown here; null: it is known. */
  readonly release: Sha256 | null;
  /** How often files had been deleted at the site. */
  readonly pruned: number;
}

/**
 * H of a lane is ahead of this database. The epoch rises, so that the database that wrote it cannot
 * go on beside this one; nothing at the site is believed; the archive is looked at now. The lane
 * gives up its open publication, under which nothing was written since: a lost one began behind it.
 * What it publishes next goes over the lost release, if the archive's is not older.
 *
 * Given twice: the second one changes nothing.
 */
export function bookAhead(
  db: Database,
  lane: LaneIds,
  lost: LostHead,
  report: ErrorReport,
): Promise<void> {
  const { distributionId, siteId } = lane;
  return bookkeeping(db, async (tx) => {
    if (!(await isNews(tx, lane, lost))) return;
    await run(
      tx,
      sql`
        update deployment
        set epoch = epoch + 1
        where epoch = ${lost.epoch}`,
    );
    await raisePrunes(tx, siteId, lost.pruned);
    if (lost.release !== null) await loseRelease(tx, lane, lost.release);
    await recordIncident(tx, { distributionId, siteId, report });
    const facts = { release: lost.release, pruned: lost.pruned };
    await recordEvent(tx, { distributionId, siteId, what: 'site ahead', facts });
    await distrustSite(tx, siteId, true);
    await rollUp(tx, distributionId);
  });
}

/** Locks the distribution, then the lane. */
async function isNews(
  tx: Tx,
  { distributionId, siteId }: LaneIds,
  { release, pruned }: LostHead,
): Promise<boolean> {
  await run(
    tx,
    sql`
      select
      from debian_distributions
      where id = ${distributionId}
      for no key update`,
  );
  await run(
    tx,
    sql`
      select
      from distribution_replications
      where distribution_id = ${distributionId}
        and site_id = ${siteId}
      for no key update`,
  );
  const known = await one(
    tx,
    sql<{ lost: Sha256 | null; prunes: number; isReplicated: boolean }>`
      select encode(r.lost_release, 'hex') as lost, s.prunes,
        r.distribution_id is not null as "isReplicated"
      from replication_sites s
      left join distribution_replications r
        on r.site_id = s.id and r.distribution_id = ${distributionId}
      where s.id = ${siteId}`,
  );
  if (known === null) return false;
  const isLost = known.isReplicated && release !== null && release !== known.lost;
  return isLost || pruned > known.prunes;
}

async function loseRelease(tx: Tx, lane: LaneIds, release: Sha256): Promise<void> {
  await dropClaims(tx, lane);
  await giveUpPublication(tx, lane, 'the site has a release that the database lost');
  await run(
    tx,
    sql`
      update distribution_replications
      set lost_release = decode(${release}, 'hex'),
        pinned_generation = null,
        fence = greatest(nextval('ticket'), fence + 1),
        state = case when state = 'cancelled' then state else 'pending' end,
        retry_at = null,
        failure_code = null,
        failure = null
      where distribution_id = ${lane.distributionId}
        and site_id = ${lane.siteId}`,
  );
  await run(
    tx,
    sql`
      update debian_distributions
      set next_look_at = now()
      where id = ${lane.distributionId}`,
  );
}

/**
 * Revisions of this database, and of those it was before it was restored, never meet: workflows
 * take a row for newer that has a higher one.
 */
const REVISIONS_LOST = 1_000_000_000;

/**
 * A workflow holds a row that this database never wrote: it was restored from an older backup.
 * Every row becomes newer than all that workflows hold, the epoch rises, and no site is believed.
 * @param seenRev the highest `rev` of the rows of the distribution that its workflow holds
 */
export async function noticeRestore(
  db: Database,
  distribution: string,
  seenRev: number | undefined,
): Promise<void> {
  if (seenRev === undefined || !(await isLost(db.read, distribution, seenRev))) return;
  await bookkeeping(db, async (tx) => {
    // The order of locks is that of apply: distributions, lanes.
    await run(
      tx,
      sql`
        select
        from debian_distributions
        order by id
        for no key update`,
    );
    if (!(await isLost(tx, distribution, seenRev))) return;
    await run(
      tx,
      sql`
        select setval('revision', greatest(last_value, ${seenRev}) + ${REVISIONS_LOST})
        from revision`,
    );
    await run(
      tx,
      sql`
        update deployment
        set epoch = epoch + 1`,
    );
    await run(
      tx,
      sql`
        update debian_distributions
        set changed_rev = nextval('revision'),
          next_look_at = now()`,
    );
    // the trigger gives each a new rev
    await run(
      tx,
      sql`
        update distribution_replications
        set state = state`,
    );
    const sites = await all(
      tx,
      sql<{ id: number }>`
        select id
        from replication_sites
        order by id`,
    );
    for (const { id } of sites) await distrustSite(tx, id, true);
  });
}

/** Rows, and not the sequence: that is raised also where the transaction does not commit. */
const isLost = async (tx: Tx, distribution: string, seenRev: number): Promise<boolean> =>
  (await one(
    tx,
    sql`
      select
      from debian_distributions d
      where d.name = ${distribution}
        and d.rev < ${seenRev}
        and not exists (
          select
          from distribution_replications r
          where r.distribution_id = d.id
            and r.rev >= ${seenRev}
        )`,
  )) !== null;
