/**
 * `distribution/<name>`: one capture loop and one lane per site, for as long as the distribution
 * exists.
 *
 * PostgreSQL is the truth. This workflow holds a copy of its rows and decides what runs next. It is
 * the only starter of the activities that write them, and each answers with what it has committed:
 * memory and table cannot drift. A run begins with the roster and carries over only what is not
 * committed yet; so it can be terminated at any instant, and the next run goes on.
 */
import {
  ActivityFailure,
  allHandlersFinished,
  CancellationScope,
  condition,
  continueAsNew,
  log,
  setDefaultSignalHandler,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';

import type { Command, Replication, Roster } from '../src/domain/replication.ts';
import { archive, bookkeeping } from './activity-options.ts';
import { siteOf, SIGNAL_MEANINGS } from './commands.ts';
import { createDisplay, statusOf } from './display.ts';
import {
  look,
  SIGNALS,
  status,
  type DistributionInput,
  type LookOutcome,
  type SignalName,
} from './messages.ts';
import { reportOf } from './report-of.ts';
import { siteLane, type Lane } from './site-lane.ts';
import { until } from './until.ts';

interface Run {
  readonly distribution: string;
  roster: Roster | null;
  /** By site, as the roster names them. */
  readonly lanes: Map<string, Lane>;
  /** By site: ends when its last lane has ended, also that of a site which left. Never rejects. */
  readonly laneEnds: Map<string, Promise<void>>;
  /** By site, from the run before: given to the lane when it opens. */
  readonly carriedCommands: Map<string, Command>;
  /** Somebody asked for a look that has not begun. */
  lookWanted: boolean;
  /**
   * Updates `look` that arrived, and how many of them have their answer: that of the first capture
   * that began after it.
   */
  looksAsked: number;
  looksAnswered: number;
  lookOutcome: LookOutcome;
  capturing: CancellationScope | null;
  /** Nothing new is begun; then: nothing works any more. */
  closing: boolean;
  closed: boolean;
  fatal: { readonly error: unknown } | null;
  readonly display: ReturnType<typeof createDisplay>;
}

export async function distribution(input: DistributionInput): Promise<void> {
  const run = begin(input);
  setHandler(status, () => answerStatus(run));
  setHandler(look, () => answerLook(run), {
    description: 'look at the archive now; answers when that capture ended',
  }); // before the first await: else it is rejected
  adopt(
    run,
    await bookkeeping.loadRoster.executeWithOptions({ summary: 'load what PostgreSQL holds' }, [
      { distribution: run.distribution },
    ]),
  );
  if (run.roster?.removed) run.lookWanted = false; // this was the look
  receiveSignals(run); // the SDK has kept earlier ones
  const captures = captureLoop(run).catch((error: unknown) => fail(run, error));
  try {
    await condition(() => run.fatal !== null || isOver(run));
  } catch (error) {
    await CancellationScope.nonCancellable(() => idle(run, captures)); // cancelled from outside
    throw error;
  }
  await close(run, captures);
  // else it was made again meanwhile: the next run sees it
  if (run.roster?.removed && !run.lookWanted) return;
  // Nothing is awaited between reading what is carried and this: a signal that comes now repeats
  // this workflow task with it.
  await continueAsNew<typeof distribution>({
    distribution: run.distribution,
    carry: { look: run.lookWanted, orders: openCommands(run) },
  });
}

const begin = (input: DistributionInput): Run => ({
  distribution: input.distribution,
  roster: null,
  lanes: new Map(),
  laneEnds: new Map(),
  carriedCommands: new Map(Object.entries(input.carry?.orders ?? {})),
  lookWanted: input.carry?.look ?? true,
  looksAsked: 0,
  looksAnswered: 0,
  lookOutcome: { outcome: 'again' },
  capturing: null,
  closing: false,
  closed: false,
  fatal: null,
  display: createDisplay(),
});

const rowsOf = (run: Run): Replication[] => [...run.lanes.values()].map((lane) => lane.row);

const openCommands = (run: Run): Record<string, Command> =>
  Object.fromEntries(
    [...run.lanes.values()].flatMap((lane) =>
      lane.command === null ? [] : [[lane.site, lane.command] as const],
    ),
  );

/**
 * The first error counts. It is thrown by the main function: a bug fails the workflow task and is
 * tried again until the fix is deployed.
 */
function fail(run: Run, error: unknown): void {
  run.fatal ??= { error };
}

function show(run: Run): void {
  if (run.roster !== null) run.display(run.roster, rowsOf(run));
}

/** Lanes open and close as rows come and go. */
function adopt(run: Run, roster: Roster): void {
  run.roster = roster;
  const named = new Set(roster.replications.map((row) => row.site));
  for (const lane of run.lanes.values()) {
    if (named.has(lane.site)) continue;
    run.lanes.delete(lane.site);
    lane.ending = true;
    lane.work?.cancel();
  }
  for (const row of roster.replications) {
    const lane = run.lanes.get(row.site);
    if (lane === undefined) openLane(run, row);
    else if (row.rev > lane.row.rev) lane.row = row;
  }
  show(run); // once for all of them: search attributes are an event each time
}

function openLane(run: Run, row: Replication): void {
  const { distribution, closing } = run;
  const command = run.carriedCommands.get(row.site) ?? null;
  run.carriedCommands.delete(row.site);
  const lane: Lane = {
    distribution,
    site: row.site,
    row,
    command,
    ending: closing,
    work: null,
    changed: () => show(run),
  };
  run.lanes.set(row.site, lane);
  const end = (run.laneEnds.get(row.site) ?? Promise.resolve()) // a site that left and came back: never two lanes at once
    .then(() => siteLane(lane))
    .catch((error: unknown) => fail(run, error)) // an unhandled rejection would fail every workflow task from here on
    .then(
      () => void (!run.closing && run.lanes.get(row.site) === lane && run.lanes.delete(row.site)),
    );
  run.laneEnds.set(row.site, end);
}

/** Looks at the archive when its time has come, or when somebody asked. */
async function captureLoop(run: Run): Promise<void> {
  let notBefore = 0;
  for (;;) {
    await until(
      () => run.closing || run.lookWanted,
      run.roster!.nextLookAt,
      'next look at the archive',
    );
    // the first acts at once; those behind it share the next look
    await until(() => run.closing, notBefore, 'gather a burst of changes');
    if (run.closing || run.roster!.removed) return;
    notBefore = Date.now() + run.roster!.tuning.gatherMs;
    await capture(run);
  }
}

async function capture(run: Run): Promise<void> {
  const { distribution, looksAsked, lookWanted } = run;
  run.lookWanted = false; // before the archive is read: what arrives during it causes another look
  const scope = new CancellationScope();
  run.capturing = scope;
  try {
    const input = { distribution, unconditional: lookWanted };
    const summary = lookWanted ? 'look at the archive: asked' : 'look at the archive: poll';
    const { outcome, generation, roster } = await scope.run(() =>
      archive.captureSnapshot.executeWithOptions({ summary }, [input]),
    );
    adopt(run, roster);
    run.lookOutcome = roster.removed ? { outcome: 'removed' } : { outcome, generation };
  } catch (error) {
    // the run ends: the next one looks
    if (scope.consideredCancelled) return void (run.lookWanted = true);
    if (!(error instanceof ActivityFailure)) throw error;
    const report = reportOf(error);
    const summary = `record ${report.code}`; // the next look comes sooner than the next poll; lanes go on with what they have
    adopt(
      run,
      await CancellationScope.nonCancellable(() =>
        bookkeeping.recordCaptureFailure.executeWithOptions({ summary }, [
          { distribution, report },
        ]),
      ),
    );
    run.lookOutcome = { outcome: 'failed', report };
  } finally {
    run.capturing = null;
  }
  run.looksAnswered = looksAsked;
}

function answerStatus(run: Run): Roster | null {
  if (run.roster === null) return null;
  const replications = rowsOf(run);
  return { ...run.roster, status: statusOf(run.roster, replications), replications };
}

async function answerLook(run: Run): Promise<LookOutcome> {
  const ticket = ++run.looksAsked;
  run.lookWanted = true;
  await condition(() => run.looksAnswered >= ticket || run.closed);
  if (run.looksAnswered >= ticket) return run.lookOutcome;
  return { outcome: run.lookWanted ? 'again' : 'removed' };
}

/**
 * Handlers never await and never throw, whatever was sent: a throw would fail every workflow task
 * from here on, and stop every site.
 */
function receiveSignals(run: Run): void {
  // first: what the SDK has kept, of whatever name, arrives in its order
  setDefaultSignalHandler((signal, argument) => receive(run, signal, argument));
  for (const [name, signal] of Object.entries(SIGNALS))
    setHandler(signal, (argument?: unknown) => receive(run, name, argument), {
      description: SIGNAL_MEANINGS[name as SignalName].description,
    });
}

function receive(run: Run, signal: string, argument: unknown): void {
  const meaning = Object.hasOwn(SIGNAL_MEANINGS, signal)
    ? SIGNAL_MEANINGS[signal as SignalName]
    : null;
  const site = siteOf(argument);
  if (meaning?.command === null) return void (run.lookWanted = true);
  if (meaning === null || site === 'malformed')
    return log.warn('signal ignored', { signal, argument });
  const lanes = [...run.lanes.values()].filter((lane) => site === 'all' || lane.site === site.name);
  if (lanes.length === 0)
    return log.warn('signal for a site that has no lane', { signal, argument });
  for (const lane of lanes) {
    lane.command = { ...lane.command, ...meaning.command };
    // stops bytes now; pause lets the slice end
    if (meaning.command.want === 'cancel' && !lane.row.publishing) lane.work?.cancel();
  }
  if (meaning.command.want === 'retry' && site === 'all') run.lookWanted = true;
}

const isOver = (run: Run): boolean =>
  run.roster!.removed ||
  workflowInfo().continueAsNewSuggested ||
  workflowInfo().historyLength > run.roster!.tuning.historyEventsMax;

/** Lets running slices end, for a while, then cancels them. */
async function close(run: Run, captures: Promise<void>): Promise<void> {
  const working = (): CancellationScope[] =>
    [run.capturing, ...[...run.lanes.values()].map((lane) => lane.work)].filter(
      (scope) => scope !== null,
    );
  run.closing = true;
  for (const lane of run.lanes.values()) lane.ending = true;
  // A slice is short; a queue without a worker is not.
  if (run.fatal === null)
    await condition(() => working().length === 0, run.roster!.tuning.drainMs, {
      summary: 'let running slices end',
    });
  for (const scope of working()) scope.cancel();
  if (run.fatal === null) await idle(run, captures);
  if (run.fatal !== null) throw run.fatal.error;
  run.closed = true;
  await condition(allHandlersFinished);
}

async function idle(run: Run, captures: Promise<void>): Promise<void> {
  await captures;
  await Promise.all(run.laneEnds.values());
}
