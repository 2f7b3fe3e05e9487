/**
 * `site/<name>`: the prune of one site, again and again for as long as the site is enabled. It
 * crosses distributions, since they share blobs, and touches none of their workflows: what may go
 * is decided by rows, under locks (src/database/prune/prune-blobs.ts).
 *
 * One prune per run, then it continues as new: a run begins with the row, and carries over only
 * whether a prune was asked for.
 */
import {
  ActivityFailure,
  allHandlersFinished,
  CancellationScope,
  condition,
  continueAsNew,
  setCurrentDetails,
  setHandler,
  sleep,
} from '@temporalio/workflow';

import { pruneByOurClock, ticketOf, type SitePrune } from '../src/domain/replication.ts';
import { bookkeeping, pruneStepsFor } from './activity-options.ts';
import { prune, pruneNow, pruneStatus, type PruneOutcome, type SiteInput } from './messages.ts';
import { record, REFUSED_MS } from './record.ts';
import { reportOf } from './report-of.ts';
import { until } from './until.ts';

interface Run {
  readonly site: string;
  row: SitePrune | null;
  /** A signal, an Update or the run before asked for a prune, and it has not begun. */
  asked: boolean;
  /**
   * The prune of this run has begun, and may have judged already what is to go: an Update that
   * comes now is answered by the next run.
   */
  begun: boolean;
  outcome: PruneOutcome | null;
}

export async function site(input: SiteInput): Promise<void> {
  const run: Run = {
    site: input.site,
    row: null,
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

  show(
    run,
    await bookkeeping.loadPrune.executeWithOptions({ summary: 'load what PostgreSQL holds' }, [
      { site: run.site },
    ]),
  );
  if (run.row!.enabled) await until(() => run.asked, run.row!.nextAt, 'next prune');
  run.begun = true;
  run.asked = false;
  run.outcome = run.row!.enabled ? await pruneOnce(run) : { outcome: 'removed' };
  await condition(allHandlersFinished);
  // where the site is applied again, the reconciliation of a worker starts the next run
  if (run.outcome.outcome === 'removed') return;
  await continueAsNew<typeof site>({ site: run.site, carry: { asked: run.asked } });
}

/** Handlers never throw. */
async function answer(run: Run): Promise<PruneOutcome> {
  // The client of a late Update asks the next run. It is not carried over as well: one Update must
  // not cause two prunes.
  const late = run.begun;
  run.asked ||= !late;
  await condition(() => run.outcome !== null);
  return late && run.outcome!.outcome !== 'removed' ? { outcome: 'again' } : run.outcome!;
}

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

function show(run: Run, answered: SitePrune): void {
  const row = pruneByOurClock(answered, Date.now());
  run.row = row;
  const last =
    row.startedAt === null
      ? 'never pruned'
      : `${row.blobs} blobs deleted by the last prune${row.more ? ', more to go' : ''}`;
  const failure = row.code === null ? '' : `, failed: ${row.code}`;
  setCurrentDetails(`**${row.site}**: ${row.enabled ? last : 'removed'}${failure}`);
}
