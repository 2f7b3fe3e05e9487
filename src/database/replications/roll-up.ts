import { sql } from 'kysely';

import { isErrorCode, RULES, ruleOf } from '../../domain/errors.ts';
import type { Tx } from '../orm.ts';
import { isOverdue } from '../scrub/overdue.ts';
import { run } from '../sql.ts';
import { awaitsPerson } from './parked.ts';

/** Codes of a release that was refused. */
const REFUSALS = Object.keys(RULES).filter((code) => isErrorCode(code) && ruleOf(code).exit === 3);

/**
 * Computes `replication_status`, here and nowhere else: failed if anything is parked (also while it
 * tries again, until that went well) or the last release was refused; success if there is an
 * enabled site and all of them serve the newest generation, verified, and none is overdue to be
 * read back; else pending. The caller holds the
 * lock of the distribution, so that two lanes which finish together are counted one after the
 * other. In SQL: it counts rows and compares columns of two tables.
 */
export async function rollUp(tx: Tx, distributionId: number): Promise<void> {
  await run(
    tx,
    sql`
      with rolled_up as (
        select d.id,
          case
            when d.failure_code = any(${REFUSALS}::text[]) or lanes.parked > 0 then 'failed'
            when lanes.enabled > 0 and lanes.done = lanes.enabled then 'success'
            else 'pending'
          end as status
        from debian_distributions d
        cross join lateral (
          select count(*) as enabled,
            count(*) filter (
              where r.state in ('failed', 'started')
                and ${awaitsPerson()}) as parked,
            count(*) filter (
              where r.state = 'synced'
                and not ${isOverdue(sql`s.id`)}
                and r.served_generation = d.latest_generation
                and d.latest_generation > 0) as done
          from distribution_replications r
          join replication_sites s on s.id = r.site_id
          where r.distribution_id = d.id
            and s.enabled) lanes
        where d.id = ${distributionId})
      update debian_distributions d
      set replication_status = rolled_up.status
      from rolled_up
      where d.id = rolled_up.id
        and d.replication_status <> rolled_up.status`,
  );
}
