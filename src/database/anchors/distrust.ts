/** A site that is older than it was: what is on record about it is not believed any more. */
import { sql } from 'kysely';

import type { Tx } from '../orm.ts';
import { run } from '../sql.ts';
import { bookSite } from './site-anchors.ts';

/**
 * Has each lane of the site read everything back, and S claimed anew; workflows see it within a
 * minute. A lane that was asked to verify already is not asked again: a failure that comes again
 * begins nothing anew. Lanes that another transaction changes at this moment are left out, so that
 * this waits for none of them: they find out at their next publication, or by the next prune.
 */
export async function distrustSite(tx: Tx, siteId: number): Promise<void> {
  await bookSite(tx, siteId, null);
  await run(
    tx,
    sql`
      with held as (
        select r.distribution_id
        from distribution_replications r
        join debian_distributions d on d.id = r.distribution_id
        where r.site_id = ${siteId}
          and r.verify_requested_at is null
          and r.verify_taken_at is null
        order by r.distribution_id
        for no key update skip locked
      ),
      asked as (
        update distribution_replications r
        set verify_requested_at = now()
        from held
        where r.site_id = ${siteId}
          and r.distribution_id = held.distribution_id
        returning r.distribution_id
      )
      update debian_distributions d
      set changed_rev = nextval('revision')
      from asked
      where d.id = asked.distribution_id`,
  );
}
