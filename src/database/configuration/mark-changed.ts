import { sql } from 'kysely';

import type { Tx } from '../orm.ts';
import { wake } from '../replications/parked.ts';
import { run } from '../sql.ts';

/** Ids of rows that an apply has written. */
export interface Written {
  readonly archives: readonly number[];
  readonly sites: readonly number[];
  readonly distributions: readonly number[];
}

/**
 * Marks each distribution whose workflow has something new to see: it was changed itself, or its
 * archive, or one of its sites. Until the workflow has seen it, workers signal it once a minute.
 */
export async function markChanged(
  tx: Tx,
  { archives, sites, distributions }: Written,
): Promise<void> {
  await run(
    tx,
    sql`
      update debian_distributions d
      set changed_rev = nextval('revision')
      where d.id = any(${[...distributions]}::int[])
        or d.archive_id = any(${[...archives]}::int[])
        or exists (
          select from distribution_replications r
          where r.distribution_id = d.id
            and r.site_id = any(${[...sites]}::int[]))`,
  );
  // A lane takes a row that is newer than its own, and only then the queue of its site.
  await run(
    tx,
    sql`
      update distribution_replications
      set site_id = site_id
      where site_id = any(${[...sites]}::int[])`,
  );
}

/** What a lane parked for may have changed with its site, or with the archive that it reads. */
export async function wakeChanged(tx: Tx, { archives, sites }: Written): Promise<void> {
  await wake(
    tx,
    sql<boolean>`(
      r.site_id = any(${[...sites]}::int[])
      or r.distribution_id in (
        select id
        from debian_distributions
        where archive_id = any(${[...archives]}::int[])))`,
  );
}
