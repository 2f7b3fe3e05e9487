/**
 * `site/<name>`: the prune and the scrub of one site, again and again for as long as the site is
 * enabled. It crosses distributions, since they share blobs. What may go, and what is wrong, is
 * decided by rows, under locks (src/database/prune, src/database/scrub); distributions are only
 * told that their rows changed.
 *
 * One prune per run at most, then it continues as new: a run begins with the rows, and carries over
 * only whether a prune was asked for.
 */
import {
  ActivityFailure,
  allHandlersFinished,
  CancellationScope,
  condition,
  continueAsNew,
  patched,
  setHandler,
  sleep,
} from '@temporalio/workflow';

import { ticketOf, type SitePrune } from '../src/domain/replication.ts';
import { bookkeeping, pruneStepsFor } from './activity-options.ts';
import {
  prune,
  pruneNow,
  pruneStatus,
  siteChanged,
  type PruneOutcome,
  type SiteInput,
} from './messages.ts';
import { PATCHES } from './patches.ts';
import { record, REFUSED_MS } from './record.ts';
import { reportOf } from './report-of.ts';
import { show, type Run } from './site-run.ts';
import { scrubUntilPrune } from './site-scrub.ts';
import { until } from './until.ts';

export async function site(input: SiteInput): Promise<void> {
  const run: Run = {
    site: input.site,
    row: null,
    scrub: null,
    changed: false,
    asked: input.carry?.asked ?? false,
    begun: false,
    outcome: null,
  };
  setHandler(pruneStatus, () => run.row);
  setHandler(prune, () => answer(run), {
    description: 'delete now what no kept snapshot names; answers when that ended',
  }); // before the first await
  setHandler(pruneNow, () => void (run.asked = true), {
    description: 'delete now what no kept snapshot names',
  });
  setHandler(siteChanged, () => void (run.changed = true), {
    description: 'look at the rows: the site was paused or resumed, or a scrub is asked for',
  });

  show(
    run,
    await bookkeeping.loadPrune.executeWithOptions({ summary: 'load what PostgreSQL holds' }, [
      { site: run.site },
    ]),
  );
  const isDue = await untilPrune(run);
  run.begun = true;
  if (isDue) run.asked = false;
  run.outcome = isDue ? await outcomeOf(run) : { outcome: 'again' };
  await condition(allHandlersFinished);
  // where the site is applied again, the reconciliation of a worker starts the next run
  if (run.outcome.outcome === 'removed') return;
  await continueAsNew<typeof site>({ site: run.site, carry: { asked: run.asked } });
}

/** @returns false: the prune is not due, and the next run goes on */
async function untilPrune(run: Run): Promise<boolean> {
  if (!run.row!.enabled) return true;
  if (patched(PATCHES.siteScrubs)) return scrubUntilPrune(run);
  await until(() => run.asked, run.row!.nextAt, 'next prune');
  return true;
}

const outcomeOf = (run: Run): Promise<PruneOutcome> =>
  run.row!.enabled ? pruneOnce(run) : Promise.resolve({ outcome: 'removed' });

/** Handlers never throw. */
async function answer(run: Run): Promise<PruneOutcome> {
  // The client of a late Update asks the next run. It is not carried over as well: one Update must
  // not cause two prunes.
  const late = run.begun;
  run.asked ||= !late;
  await condition(() => run.outcome !== null);
  return late && run.outcome!.outcome !== 'removed' ? { outcome: 'again' } : run.outcome!;
}

const pausedOf = (row: SitePrune): PruneOutcome => ({
  outcome: 'failed',
  row,
  report: {
    code: 'PAUSED',
    message: `${row.site} is paused`,
    expected: `debgeo resume --site ${row.site}`,
    state: 'what is marked waits',
  },
});

async function pruneOnce(run: Run): Promise<PruneOutcome> {
  /** With the ticket of the newest row (activities/lane/step.ts). */
  const input = () => ({ site: run.site, ...ticketOf(run.row!) });
  const steps = pruneStepsFor(run.row!.queue);
  try {
    show(
      run,
      await steps.planPrune.executeWithOptions({ summary: 'mark what no kept snapshot names' }, [
        input(),
      ]),
    );
    if (!run.row!.enabled) return { outcome: 'removed' };
    for (let more = true; more;) {
      if (run.row!.paused === true) return pausedOf(run.row!);
      const slice = await steps.pruneBlobs.executeWithOptions(
        { summary: 'delete what is marked' },
        [input()],
      );
      show(run, slice.row);
      ({ more } = slice);
    }
    show(
      run,
      await steps.pruneCatalog.executeWithOptions(
        { summary: 'delete from the catalog what no site needs' },
        [input()],
      ),
    );
    return { outcome: 'pruned', row: run.row! };
  } catch (error) {
    if (CancellationScope.current().consideredCancelled || !(error instanceof ActivityFailure))
      throw error;
    const report = reportOf(error);
    const summary = `record ${report.code}`;
    const row = await record(report, (given) =>
      bookkeeping.recordPruneFailure.executeWithOptions({ summary }, [
        { ...input(), report: given },
      ]),
    );
    if (row === 'refused') await sleep(REFUSED_MS, { summary: 'next attempt' });
    else show(run, row); // it says when the prune is tried again
    return { outcome: 'failed', row: run.row!, report };
  }
}
