/** What an operator wishes of a lane, committed. */
import type { Command, Replication } from '../../domain/replication.ts';
import { dropClaims, laterFence } from '../claims.ts';
import { recordEvent } from '../incidents.ts';
import type { Database, Tx } from '../orm.ts';
import { bookkeeping } from '../patience.ts';
import { readReplication, type LaneAt } from '../replication-row.ts';
import { now } from '../sql.ts';
import { lockLane, type LockedLane } from './lock.ts';
import { rollUp } from './roll-up.ts';
import { counted, from, isPublishing, to, writeLane } from './write-lane.ts';

const NO_FAILURE = { retryAt: null, failureCode: null, failure: null };

/**
 * @param ticket the newest that the workflow holds, null: none. `cancel` moves the fence beyond it,
 *   so that what still runs changes nothing
 * @returns the lane's row; null: no such pair
 */
export function applyCommand(
  db: Database,
  at: LaneAt,
  command: Command,
  ticket: number | null,
): Promise<Replication | null> {
  return bookkeeping(db, async (tx) => {
    const lane = await lockLane(tx, at);
    if (lane === null) return null;
    if (command.paused !== undefined) await writeLane(tx, lane, { paused: command.paused });
    if (command.verify) await writeLane(tx, lane, { verifyRequestedAt: now() });
    if (command.want === 'retry') await retry(tx, lane);
    if (command.want === 'cancel') await cancel(tx, lane, ticket);
    await rollUp(tx, lane.distributionId);
    return readReplication(tx, lane);
  });
}

async function retry(tx: Tx, lane: LockedLane): Promise<void> {
  await writeLane(tx, lane, { cancelRequested: false, retryCount: 0 });
  await writeLane(tx, lane, { state: to('retry'), ...NO_FAILURE }, from('retry'));
}

/**
 * An open publication is not cancelled: its generation stays pinned and finishes, and the lane is
 * cancelled behind it.
 */
async function cancel(tx: Tx, lane: LockedLane, ticket: number | null): Promise<void> {
  const settled = await dropClaims(tx, lane);
  await writeLane(tx, lane, { ...counted(settled), fence: laterFence(ticket) });
  if (await isPublishing(tx, lane))
    return void (await writeLane(tx, lane, { cancelRequested: true }));
  const cancelled = { state: to('cancel'), pinnedGeneration: null, ...NO_FAILURE };
  if (!(await writeLane(tx, lane, cancelled, from('cancel')))) return;
  const { distributionId, siteId, pinned: generation } = lane;
  await recordEvent(tx, { distributionId, siteId, generation, what: 'cancelled' });
}
