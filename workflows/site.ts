/**
 * `site/<name>`: the prune of one site, again and again for as long as the site is enabled. It
 * crosses distributions, since they share blobs, and touches none of their workflows: what may go
 * is decided by rows, under locks (src/database/prune-blobs.ts).
 *
 * One prune per run, then it continues as new: a run begins with the row, and carries over only
 * that somebody asked.
 */
import {
  ActivityFailure,
  allHandlersFinished,
  CancellationScope,
  condition,
  continueAsNew,
  setCurrentDetails,
  setHandler,
} from '@temporalio/workflow';

import type { SitePrune } from '../src/domain/replication.ts';
import { bookkeeping, pruneStepsFor } from './activity-options.ts';
import { prune, pruneNow, pruneStatus, type PruneOutcome, type SiteInput } from './messages.ts';
import { reportOf } from './report-of.ts';
import { until } from './until.ts';

interface Run {
  readonly site: string;
  row: SitePrune | null;
  asked: boolean;
  /**
   * From here on, who asks is answered by the next run: this one has judged already what may go.
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
  // made again: the reconciliation of a worker starts the next run
  if (run.outcome.outcome === 'removed') return;
  await continueAsNew<typeof site>({ site: run.site, carry: { asked: run.asked } });
}

/** Handlers never throw. */
async function answer(run: Run): Promise<PruneOutcome> {
  // then the next run is asked, by the client: who asks twice must not be pruned for twice
  const late = run.begun;
  run.asked ||= !late;
  await condition(() => run.outcome !== null);
  return late && run.outcome!.outcome !== 'removed' ? { outcome: 'again' } : run.outcome!;
}

async function pruneOnce(run: Run): Promise<PruneOutcome> {
  const input = { site: run.site };
  const steps = pruneStepsFor(run.row!.queue);
  try {
    show(
      run,
      await steps.planPrune.executeWithOptions({ summary: 'mark what no kept snapshot names' }, [
        input,
      ]),
    );
    if (!run.row!.enabled) return { outcome: 'removed' };
    for (let more = true; more;) {
      const slice = await steps.pruneBlobs.executeWithOptions(
        { summary: 'delete what is marked' },
        [input],
      );
      show(run, slice.row);
      ({ more } = slice);
    }
    show(
      run,
      await steps.pruneCatalog.executeWithOptions(
        { summary: 'delete from the catalog what no site needs' },
        [input],
      ),
    );
    return { outcome: 'pruned', row: run.row! };
  } catch (error) {
    if (CancellationScope.current().consideredCancelled || !(error instanceof ActivityFailure))
      throw error;
    const report = reportOf(error);
    const failed = bookkeeping.recordPruneFailure.executeWithOptions(
      { summary: `record ${report.code}` },
      [{ ...input, report }],
    );
    show(run, await failed); // with it, when it is tried again
    return { outcome: 'failed', row: run.row!, report };
  }
}

function show(run: Run, row: SitePrune): void {
  run.row = row;
  const last =
    row.startedAt === null
      ? 'never pruned'
      : `${row.blobs} blobs deleted by the last prune${row.more ? ', more to go' : ''}`;
  setCurrentDetails(
    `**${row.site}**: ${row.enabled ? last : 'removed'}${row.code === null ? '' : `, failed: ${row.code}`}`,
  );
}
