/**
 * The fence of a lane: the scheduled time of its newest attempt. Every write of an attempt is
 * conditional on it, so that an attempt which was overtaken changes nothing. FENCED is raised here
 * and nowhere else.
 */
import { sql } from 'kysely';

import { DebgeoError } from '../domain/errors.ts';
import type { Tx } from './orm.ts';
import type { LaneKey } from './replication-row.ts';
import { one } from './sql.ts';

/** What an attempt holds is not so any more. */
export const fenced = (
  message: string,
  facts: { readonly expected?: string; readonly found?: string } = {},
): DebgeoError => new DebgeoError('FENCED', message, facts);

/** @param fence of the lane's row; null: there is no such row any more */
export const overtaken = (lane: string, attempt: number, fence: number | null): DebgeoError =>
  fenced(`a newer attempt works on ${lane}`, {
    expected: `fence ${attempt}`,
    found: fence === null ? 'no replication' : `fence ${fence}`,
  });

/**
 * Locks the lane's row and refuses an attempt that a newer one, a failure or a cancel has
 * overtaken.
 * @returns the generation that the site serves
 * @throws FENCED
 */
export async function holdFence(tx: Tx, lane: LaneKey): Promise<{ served: number }> {
  const row = await one(
    tx,
    sql<{ fence: number; served: number }>`
      select fence, served_generation as served
      from distribution_replications
      where distribution_id = ${lane.distributionId}
        and site_id = ${lane.siteId}
      for no key update`,
  );
  if (row?.fence !== lane.attempt)
    throw overtaken('this replication', lane.attempt, row?.fence ?? null);
  return row;
}
