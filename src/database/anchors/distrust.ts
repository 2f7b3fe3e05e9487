/** A site that is another one than the rows say: no row about it is believed any more. */
import { raw } from '@mikro-orm/postgresql';
import { sql, type RawBuilder } from 'kysely';

import type { ErrorReport } from '../../domain/errors.ts';
import { recordIncident } from '../incidents.ts';
import type { Database, Tx } from '../orm.ts';
import { UNVERIFIED } from '../registry/lane-sql.ts';
import { rollUp } from '../replications/roll-up.ts';
import { all, run } from '../sql.ts';
import { bookSite } from './site-anchors.ts';

/** The site is older than it was: on record for each lane that has to read everything back. */
export const bookBehind = (db: Database, siteId: number, report: ErrorReport): Promise<void> =>
  db.transaction(async (tx) => {
    for (const distributionId of await distrustSite(tx, siteId))
      await recordIncident(tx, { distributionId, siteId, report });
  });

/**
 * Nothing at the site is verified any more, no published name is known, S is claimed anew, and each
 * lane reads everything back; workflows see it within a minute.
 *
 * A failure that comes again begins nothing anew: where every lane was asked already, nothing
 * changes, unless `anew`. Lanes that another transaction changes at this moment are left out, so
 * that this waits for none of them: they find out behind their next barrier. H of a suite that no
 * lane writes any more is not expected from now on: it would be missed for ever.
 * @returns distributions of the lanes that have to read everything back now
 */
export async function distrustSite(tx: Tx, siteId: number, anew = false): Promise<number[]> {
  await bookSite(tx, siteId, null);
  await forgetHeads(tx, siteId);
  const asked = await askLanes(tx, siteId, anew);
  if (asked.length === 0 && !anew) return [];
  await spareLanes(tx, siteId);
  await run(
    tx,
    sql`
      with held as materialized (
        select path_id
        from blob_registry
        where site_id = ${siteId}
          and settled
        order by path_id
        for update
      )
      update blob_registry r
      set verification_state = ${UNVERIFIED}
      from held
      where r.site_id = ${siteId}
        and r.path_id = held.path_id`,
  );
  await run(
    tx,
    sql`
      update published_names
      set verified_at = null
      where site_id = ${siteId}
        and sha256 is not null
        and verified_at is not null`,
  );
  for (const distributionId of asked) await rollUp(tx, distributionId);
  return asked;
}

/** Of the site: H of suites that are not replicated there any more. */
const forgetHeads = (tx: Tx, siteId: number): Promise<unknown> =>
  run(
    tx,
    sql`
      delete from site_heads h
      where h.site_id = ${siteId}
        and not exists (
          select
          from distribution_replications r
          where r.site_id = h.site_id
            and r.distribution_id = h.distribution_id
        )`,
  );

/** As `spared_until`: until the lane has read everything back. The driver reads no infinity. */
const FAR_TIME = "timestamptz '9999-01-01 00:00+00'";
const FAR = sql.raw(FAR_TIME);

/** Of a lane: it has not read everything back since the site was found to be another one. */
export const isSpared = (lane: 'r' | 'lane'): RawBuilder<boolean> =>
  sql<boolean>`(${sql.ref(`${lane}.spared_until`)} is not distinct from ${FAR})`;

/** Of `r`, a lane: something was captured for it, or it has something to lead forward. */
const HAS_SOMETHING = sql<boolean>`(r.desired_generation > 0 or r.lost_release is not null)`;

/**
 * Clients may read other releases than the newest ones that the rows know: nothing is deleted at
 * the site before each lane has finished, and the grace behind that is over. A lane that has
 * nothing to read back holds up nothing.
 */
const spareLanes = (tx: Tx, siteId: number): Promise<unknown> =>
  run(
    tx,
    sql`
      with held as (
        select r.distribution_id
        from distribution_replications r
        where r.site_id = ${siteId}
          and ${HAS_SOMETHING}
        order by r.distribution_id
        for no key update skip locked
      )
      update distribution_replications r
      set spared_until = ${FAR}
      from held
      where r.site_id = ${siteId}
        and r.distribution_id = held.distribution_id`,
  );

/** A column, for the end of a chain: the grace begins. */
export const GRACE_BEGINS = raw(`
  case
    when spared_until < ${FAR_TIME} then spared_until
    when spared_until is not null then now() + (
      select s.grace_ms * interval '1 millisecond'
      from replication_sites s
      where s.id = distribution_replications.site_id)
  end`);

async function askLanes(tx: Tx, siteId: number, anew: boolean): Promise<number[]> {
  const asked = await all(
    tx,
    sql<{ id: number }>`
      with held as (
        select r.distribution_id
        from distribution_replications r
        join debian_distributions d on d.id = r.distribution_id
        where r.site_id = ${siteId}
          and ${HAS_SOMETHING}
          and (
            ${anew}
            or not ${isSpared('r')}
            or r.verify_requested_at is null and r.verify_taken_at is null
          )
        order by r.distribution_id
        for no key update skip locked
      ),
      asked as (
        update distribution_replications r
        set verify_requested_at = now(),
          state = case when r.state = 'synced' then 'pending' else r.state end,
          files_done = 0,
          bytes_done = 0
        from held
        where r.site_id = ${siteId}
          and r.distribution_id = held.distribution_id
        returning r.distribution_id
      )
      update debian_distributions d
      set changed_rev = nextval('revision')
      from asked
      where d.id = asked.distribution_id
      returning d.id`,
  );
  return asked.map(({ id }) => id);
}
