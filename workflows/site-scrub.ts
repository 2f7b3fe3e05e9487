/**
 * The scrub in the workflow of a site: slice by slice, whenever its row says, until the prune is
 * due. Prune and scrub take turns, so that a command waits for one slice at most.
 */
import {
  ActivityFailure,
  CancellationScope,
  getExternalWorkflowHandle,
  log,
  patched,
  sleep,
} from '@temporalio/workflow';

import { ticketOf } from '../src/domain/replication.ts';
import { bookkeeping, scrubStepOn } from './activity-options.ts';
import { distributionChanged, workflowId } from './messages.ts';
import { PATCHES } from './patches.ts';
import { record, REFUSED_MS } from './record.ts';
import { reportOf } from './report-of.ts';
import { show, showScrub, type Run } from './site-run.ts';
import { until } from './until.ts';

/** Of one run, so that its history stays short: a slice is some ten events. */
const TURNS_MAX = 100;
/** Rows are read again so often: a signal that tells of a change may be lost. */
const RELOAD_MS = 60 * 60_000;

/** @returns false: the prune is not due, and this run has had its turns */
export async function scrubUntilPrune(run: Run): Promise<boolean> {
  await loadScrub(run);
  for (let turns = 0; turns < TURNS_MAX; turns += 1) {
    if (run.changed) await reload(run);
    if (!run.row!.enabled || isPruneDue(run)) return true;
    if (isScrubDue(run)) await scrubOnce(run);
    else run.changed = !(await isDueSoon(run));
  }
  return run.asked;
}

const isPruneDue = ({ asked, row }: Run): boolean =>
  asked || (row!.paused !== true && row!.nextAt <= Date.now());

const isScrubDue = ({ scrub }: Run): boolean =>
  scrub!.nextAt !== null && scrub!.nextAt <= Date.now();

/** @returns false: nothing was due until the rows were to be read again */
async function isDueSoon(run: Run): Promise<boolean> {
  const { row, scrub } = run;
  const dates = [Date.now() + RELOAD_MS];
  if (row!.paused !== true) dates.push(row!.nextAt);
  if (scrub!.nextAt !== null) dates.push(scrub!.nextAt);
  await until(() => run.asked || run.changed, Math.min(...dates), 'next prune or scrub');
  return !run.changed && (isPruneDue(run) || isScrubDue(run));
}

async function loadScrub(run: Run): Promise<void> {
  const options = { summary: 'load what PostgreSQL holds of the scrub' };
  showScrub(run, await bookkeeping.loadScrub.executeWithOptions(options, [{ site: run.site }]));
}

async function reload(run: Run): Promise<void> {
  run.changed = false;
  const options = { summary: 'load what PostgreSQL holds' };
  show(run, await bookkeeping.loadPrune.executeWithOptions(options, [{ site: run.site }]));
  await loadScrub(run);
  if (run.row!.enabled && patched(PATCHES.confirmedSites)) await confirm(run);
}

/**
 * The rows may be those of a database that was restored, or the site an older copy of itself. What
 * cannot be asked now is asked by the next slice, prune or publication.
 */
async function confirm(run: Run): Promise<void> {
  try {
    await scrubStepOn(run.row!.queue).confirmSite.executeWithOptions(
      { summary: 'ask whether the site is as the rows say' },
      [{ site: run.site }],
    );
  } catch (error) {
    if (CancellationScope.current().consideredCancelled || !(error instanceof ActivityFailure))
      throw error;
    log.warn('the site could not be asked whether it is as the rows say', {
      report: reportOf(error),
    });
  }
}

async function scrubOnce(run: Run): Promise<void> {
  const input = () => ({ site: run.site, ...ticketOf(run.scrub!) });
  try {
    const { row, rotten } = await scrubStepOn(run.scrub!.queue).scrubSlice.executeWithOptions(
      { summary: 'read back and judge' },
      [input()],
    );
    showScrub(run, row);
    for (const distribution of rotten) await tell(distribution);
  } catch (error) {
    if (CancellationScope.current().consideredCancelled || !(error instanceof ActivityFailure))
      throw error;
    const report = reportOf(error);
    const summary = `record ${report.code}`;
    const row = await record(report, (given) =>
      bookkeeping.recordScrubFailure.executeWithOptions({ summary }, [
        { ...input(), report: given },
      ]),
    );
    if (row === 'refused') await sleep(REFUSED_MS, { summary: 'next attempt' });
    else showScrub(run, row); // it says when the slice is tried again
  }
}

/** That a lane has something to repair. Should this be lost, a worker says it within a minute. */
async function tell(distribution: string): Promise<void> {
  try {
    await getExternalWorkflowHandle(workflowId(distribution)).signal(distributionChanged);
  } catch (error) {
    if (CancellationScope.current().consideredCancelled) throw error;
    log.warn('a distribution was not told of rot; a worker does it', { distribution, error });
  }
}
