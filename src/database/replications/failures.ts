/** A step of a lane that failed. */
import type { EntityData } from '@mikro-orm/postgresql';

import { printableReport, ruleOf, type ErrorReport } from '../../domain/errors.ts';
import type { Replication } from '../../domain/replication.ts';
import { distrustSite } from '../anchors/distrust.ts';
import { dropClaims, laterFence } from '../claims.ts';
import type { DistributionReplication } from '../entities/distribution-replication.ts';
import { recordEvent, recordIncident } from '../incidents.ts';
import type { Database, Tx } from '../orm.ts';
import { bookkeeping } from '../patience.ts';
import { readReplication, type LaneAt } from '../replication-row.ts';
import { later } from '../sql.ts';
import { lockLane, type LockedLane } from './lock.ts';
import { rollUp } from './roll-up.ts';
import { backoffOf, retryAfterOf } from './waits.ts';
import { counted, from, isPublishing, to, writeLane } from './write-lane.ts';

/**
 * The lane waits until `retry_at`, longer with every failure in a row; parked (null) where a person
 * has to act. Its generation is unpinned unless a publication is open. SUPERSEDED with a newer
 * generation at hand: on to that one at once, not counted as a failure. A cancelled lane stays
 * cancelled. SITE_BEHIND has every lane of the site read everything back.
 * @param ticket the newest that the workflow holds, null: none. The fence moves beyond it, so that
 *   what still runs changes nothing. Where the fence is beyond it already, another step began, or
 *   this failure is on record: nothing changes
 * @returns the lane's row; null: no such pair
 */
export function recordFailure(
  db: Database,
  at: LaneAt,
  report: ErrorReport,
  ticket: number | null,
): Promise<Replication | null> {
  return bookkeeping(db, async (tx) => {
    const lane = await lockLane(tx, at);
    if (lane === null) return null;
    if (ticket !== null && lane.fence > ticket) return readReplication(tx, lane);
    const publishing = await isPublishing(tx, lane);
    const released = {
      ...counted(await dropClaims(tx, lane)),
      fence: laterFence(ticket),
      pinnedGeneration: publishing ? lane.pinned : null,
    };
    if (report.code === 'SUPERSEDED' && !publishing && lane.desired > (lane.pinned ?? 0))
      await supersede(tx, lane, released);
    else await fail(tx, lane, report, released);
    if (report.code === 'SITE_BEHIND') await distrustSite(tx, lane.siteId);
    await rollUp(tx, lane.distributionId);
    return readReplication(tx, lane);
  });
}

type Columns = EntityData<DistributionReplication>;

async function supersede(tx: Tx, lane: LockedLane, released: Columns): Promise<void> {
  const superseded = { ...released, state: to('supersede') };
  if (!(await writeLane(tx, lane, superseded, from('supersede')))) return;
  const { distributionId, siteId, pinned: generation } = lane;
  await recordEvent(tx, { distributionId, siteId, generation, what: 'superseded' });
}

async function fail(
  tx: Tx,
  lane: LockedLane,
  report: ErrorReport,
  released: Columns,
): Promise<void> {
  const retryCount = lane.retryCount + 1;
  const wait = Math.max(backoffOf(retryCount, lane.distribution.tuning), retryAfterOf(report));
  const failed: Columns = {
    ...released,
    state: to('fail'),
    retryCount,
    retryAt: ruleOf(report.code).then === 'person' ? null : later(wait),
    failureCode: report.code,
    failure: printableReport(report),
  };
  if (!(await writeLane(tx, lane, failed, from('fail')))) return;
  const { distributionId, siteId } = lane;
  const generation = lane.pinned ?? lane.desired;
  await recordIncident(tx, { distributionId, siteId, generation, report });
}
