/** The end of a pass, and what follows from that it came, or did not come in time. */
import { sql } from 'kysely';

import type { ErrorReport } from '../../domain/errors.ts';
import type { SiteScrub } from '../../domain/replication.ts';
import { endClaim } from '../claims.ts';
import { recordIncident, resolveIncident, resolveOfReaders } from '../incidents.ts';
import type { Database, Tx } from '../orm.ts';
import { rollUp } from '../replications/roll-up.ts';
import { all, run } from '../sql.ts';
import { isOverdue } from './overdue.ts';
import { readScrub, type ScrubClaim } from './scrubs.ts';

/**
 * All of the site was read. The next pass begins an interval after this one did; where an operator
 * asked for this one, that is answered.
 * @throws FENCED
 */
export function endPass(db: Database, site: string, scrub: ScrubClaim): Promise<SiteScrub> {
  const { siteId } = scrub;
  return db.transaction(async (tx) => {
    const lanes = await lockDistributionsAt(tx, siteId);
    await run(
      tx,
      sql`
        update scrubs
        set ended_at = now(),
          last_started_at = started_at,
          asked_at = case when asked_at > started_at then asked_at end,
          next_at = greatest(
            now(),
            started_at + coalesce(interval_ms, 0) * interval '1 millisecond'),
          failure_code = null,
          failure = null,
          failure_count = 0
        where site_id = ${siteId}`,
    );
    await endClaim(tx, scrub);
    const begun = sql`(select started_at from scrubs where site_id = ${siteId})`;
    await resolveOfReaders(tx, siteId, begun);
    for (const { id } of lanes) await judgeScrubs(tx, id);
    return readScrub(tx, site);
  });
}

const lockDistributionsAt = (tx: Tx, siteId: number): Promise<{ id: number }[]> =>
  all(
    tx,
    sql<{ id: number }>`
      select d.id
      from debian_distributions d
      where exists (
          select
          from distribution_replications r
          where r.distribution_id = d.id
            and r.site_id = ${siteId}
        )
      order by d.id
      for no key update`,
  );

/**
 * Puts on record, and into the state of the distribution, which of its sites are overdue. The
 * caller holds the lock of the distribution.
 */
async function judgeScrubs(tx: Tx, distributionId: number): Promise<void> {
  for (const { siteId, site, overdue, isOpen } of await sitesOf(tx, distributionId)) {
    if (overdue === isOpen) continue;
    if (overdue) await recordIncident(tx, { distributionId, siteId, report: behind(site) });
    else
      await resolveIncident(
        tx,
        { distributionId, siteId, code: 'SCRUB_BEHIND' },
        'a scrub was completed in time, or is switched off',
      );
    await run(
      tx,
      sql`
        update debian_distributions
        set changed_rev = nextval('revision')
        where id = ${distributionId}`,
    );
  }
  await rollUp(tx, distributionId);
}

const sitesOf = (tx: Tx, distributionId: number) =>
  all(
    tx,
    sql<{ siteId: number; site: string; overdue: boolean; isOpen: boolean }>`
      select s.id as "siteId",
        s.name as site,
        ${isOverdue(sql`s.id`)} as overdue,
        ${HAS_INCIDENT} as "isOpen"
      from distribution_replications r
      join replication_sites s on s.id = r.site_id
      where r.distribution_id = ${distributionId}
        and s.enabled`,
  );

/** Of `r`: that the incident is open. */
const HAS_INCIDENT = sql<boolean>`exists (
  select
  from incidents i
  where i.distribution_id = r.distribution_id
    and i.site_id = r.site_id
    and i.code = 'SCRUB_BEHIND'
    and i.resolved_at is null)`;

const behind = (site: string): ErrorReport => ({
  code: 'SCRUB_BEHIND',
  message: `${site} was not read back within twice its interval`,
  state: 'the site serves what it served; since then its bytes are not known to be right',
});

/**
 * Rolls up the distributions of whose sites one became overdue, or is not so any more: time passes
 * without a row being written.
 * @returns how many they are
 */
export async function rollUpOverdue(db: Database): Promise<number> {
  const changed = await all(
    db.read,
    sql<{ id: number }>`
      select distinct r.distribution_id as id
      from distribution_replications r
      join replication_sites s on s.id = r.site_id
      join debian_distributions d on d.id = r.distribution_id
      where s.enabled
        and not d.removed
        and ${isOverdue(sql`s.id`)} <> ${HAS_INCIDENT}
      order by 1`,
  );
  for (const { id } of changed)
    await db.transaction(async (tx) => {
      await run(
        tx,
        sql`
          select
          from debian_distributions
          where id = ${id}
          for no key update`,
      );
      await judgeScrubs(tx, id);
    });
  return changed.length;
}
