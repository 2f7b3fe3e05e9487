/**
 * Files that nothing needs and that the site does not delete: an immutability policy, a legal hold
 * or a lease keeps them. Their rows stay marked, with the time of the refusal, so that a later run
 * asks again; a lane that needs such a blob again takes the version that is there (plan-blobs.ts).
 */
import { sql, type RawBuilder } from 'kysely';

import { LIMITS } from '../../domain/limits.ts';
import { resolveHeld } from '../incidents.ts';
import type { Database, Tx } from '../orm.ts';
import { PRUNING } from '../registry/lane-sql.ts';
import { one, run } from '../sql.ts';

/** Of `r`, a marked row or R at the site: it was not refused, or that is long ago. */
export const IS_TO_ASK = sql<boolean>`(
  r.refused_at is null
  or r.refused_at < now() - ${LIMITS.heldMs} * interval '1 millisecond')`;

/** How many blobs and Rs the site holds back. */
export const countOfHeld = (siteId: RawBuilder<unknown>): RawBuilder<number> => sql<number>`(
  select (
      select count(*)
      from blob_registry r
      where r.site_id = ${siteId}
        and not r.settled
        and r.state = ${PRUNING}
        and r.refused_at is not null
    ) + (
      select count(*)
      from site_releases r
      where r.site_id = ${siteId}
        and r.removed_at is null
        and r.refused_at is not null
    ))::int`;

/** A run has ended: where nothing is held back any more, that is no incident. */
export async function endHeld(tx: Tx, siteId: number): Promise<void> {
  const found = await one(
    tx,
    sql<{ held: number }>`select ${countOfHeld(sql`${siteId}::int`)} as held`,
  );
  if (found!.held === 0) await resolveHeld(tx, siteId);
}

/** An operator asks for a prune: the site is asked for everything again. */
export async function askForHeld(db: Database, siteId: number): Promise<void> {
  for (const table of ['blob_registry', 'site_releases'])
    await run(
      db.read,
      sql`
        update ${sql.table(table)}
        set refused_at = to_timestamp(0)
        where site_id = ${siteId}
          and refused_at is not null`,
    );
}
