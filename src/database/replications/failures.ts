/** A step of a lane that failed. */
import type { EntityData } from '@mikro-orm/postgresql';

import { needsPerson, printableReport, type ErrorReport } from '../../domain/errors.ts';
import type { Replication } from '../../domain/replication.ts';
import { distrustSite } from '../anchors/distrust.ts';
import { dropClaims, laterFence } from '../claims.ts';
import type { DistributionReplication } from '../entities/distribution-replication.ts';
import { recordEvent, recordIncident } from '../incidents.ts';
import type { Database, Tx } from '../orm.ts';
import { bookkeeping } from '../patience.ts';
import { giveUpPublication } from '../publications/give-up.ts';
import { readReplication, type LaneAt } from '../replication-row.ts';
import { later } from '../sql.ts';
import { lockLane, type LockedLane } from './lock.ts';
import { rollUp } from './roll-up.ts';
import { backoffOf, parkedFor, retryAfterOf } from './waits.ts';
import { counted, from, isPublishing, to, writeLane } from './write-lane.ts';

/**
 * The lane waits until `retry_at`, longer with every failure in a row; an hour (parked) where a
 * person has to act, or something has to change that wakes it sooner (parked.ts). Its generation is
 * unpinned unless a publication is open. SUPERSEDED with a newer generation at hand: on to that one
 * at once, not counted as a failure. An open publication is given up where it can never be finished
 * and a newer generation is at hand. A cancelled lane stays cancelled. SITE_BEHIND has every lane
 * of the site read everything back; once more where this one just did.
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
    const wasPublishing = await isPublishing(tx, lane);
    const isGivenUp = wasPublishing && isNowhere(lane, report);
    if (isGivenUp) await giveUp(tx, lane, report);
    const publishing = wasPublishing && !isGivenUp;
    const isPointless = report.code === 'SUPERSEDED' && !publishing && isBehind(lane);
    const released = {
      ...counted(await dropClaims(tx, lane)),
      fence: laterFence(ticket),
      pinnedGeneration: publishing ? lane.pinned : null,
    };
    if (isGivenUp || isPointless) await supersede(tx, lane, released);
    else await fail(tx, lane, report, released);
    if (report.code === 'SITE_BEHIND') await distrustSite(tx, lane.siteId, lane.isVerifying);
    await rollUp(tx, lane.distributionId);
    return readReplication(tx, lane);
  });
}

const isBehind = ({ desired, pinned }: LockedLane): boolean => desired > (pinned ?? 0);

/**
 * The open publication can never be finished, and a newer generation can: every origin was asked
 * for a file, and none has it right. Not where an operator holds the lane: behind its publication
 * it would rest with half of it visible.
 */
const isNowhere = (lane: LockedLane, { code }: ErrorReport): boolean =>
  (code === 'BLOB_MISSING' || code === 'BLOB_MISMATCH') &&
  isBehind(lane) &&
  !lane.paused &&
  !lane.cancelRequested;

async function giveUp(tx: Tx, lane: LockedLane, report: ErrorReport): Promise<void> {
  await giveUpPublication(tx, lane, `${report.code}: ${report.message}`);
  const { distributionId, siteId, desired, pinned: generation } = lane;
  const message = `${report.message}; its publication was given up for generation ${desired}`;
  await recordIncident(tx, {
    distributionId,
    siteId,
    generation,
    report: { ...report, message },
  });
}

type Columns = EntityData<DistributionReplication>;

async function supersede(tx: Tx, lane: LockedLane, released: Columns): Promise<void> {
  const superseded = {
    ...released,
    state: to('supersede'),
    failureCode: null,
    failure: null,
  };
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
  const { tuning } = lane.distribution;
  const wait = needsPerson(report.code)
    ? parkedFor(tuning)
    : Math.max(backoffOf(retryCount, tuning), retryAfterOf(report));
  const failed: Columns = {
    ...released,
    state: to('fail'),
    retryCount,
    retryAt: later(wait),
    failureCode: report.code,
    failure: printableReport(report),
  };
  if (!(await writeLane(tx, lane, failed, from('fail')))) return;
  const { distributionId, siteId } = lane;
  const generation = lane.pinned ?? lane.desired;
  await recordIncident(tx, { distributionId, siteId, generation, report });
}
