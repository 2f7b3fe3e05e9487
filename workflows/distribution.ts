/**
 * `distribution/<name>`: one capture loop and one lane per site, for as long as the distribution
 * exists.
 *
 * PostgreSQL is the truth. This workflow holds a copy of its rows and decides what runs next. Only
 * this workflow starts the activities that write those rows, and each answers with what it has
 * committed: memory and table cannot drift. A run begins with the roster and carries over only what
 * is not committed yet; so it can be terminated at any instant, and the next run goes on.
 */
import {
  ActivityFailure,
  allHandlersFinished,
  CancellationScope,
  condition,
  continueAsNew,
  patched,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';

import {
  rosterByOurClock,
  type Command,
  type Replication,
  type Roster,
} from '../src/domain/replication.ts';
import { archiveOn, bookkeeping } from './activity-options.ts';
import { createDisplay, statusOf } from './display.ts';
import { dropEarly, takeEarly, type EarlyCommands } from './early-commands.ts';
import { look, status, type DistributionInput, type LookOutcome } from './messages.ts';
import { PATCHES } from './patches.ts';
import { receiveSignals } from './receive-signals.ts';
import { record, REFUSED_MS } from './record.ts';
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
  /** Given to a lane when it opens. */
  readonly early: EarlyCommands;
  /** A signal, an Update or the run before asked for a look, and it has not begun. */
  lookWanted: boolean;
  /**
   * How many Updates `look` have arrived, and how many of them have their answer. The answer to an
   * Update is the outcome of the first capture that began after it.
   */
  looksAsked: number;
  looksAnswered: number;
  lookOutcome: LookOutcome;
  capturing: CancellationScope | null;
  /** The run ends: lanes and captures begin nothing. */
  closing: boolean;
  /** The run ends, and no activity of it works any more. */
  closed: boolean;
  fatal: { readonly error: unknown } | null;
  readonly display: ReturnType<typeof createDisplay>;
}

export async function distribution(input: DistributionInput): Promise<void> {
  const run = begin(input);
  setHandler(status, () => answerStatus(run));
  setHandler(look, () => answerLook(run), {
    description: 'look at the archive now; answers when that capture ended',
  }); // before the first await: the server rejects an Update that has no handler
  const openSignals = receiveSignals(run);
  adopt(
    run,
    await bookkeeping.loadRoster.executeWithOptions({ summary: 'load what PostgreSQL holds' }, [
      { distribution: run.distribution },
    ]),
  );
  if (run.roster?.removed) run.lookWanted = false; // loadRoster has answered it
  openSignals(); // there are lanes now
  const captures = captureLoop(run).catch((error: unknown) => fail(run, error));
  try {
    await condition(() => run.fatal !== null || isOver(run));
  } catch (error) {
    await CancellationScope.nonCancellable(() => idle(run, captures)); // cancelled from outside
    throw error;
  }
  await close(run, captures);
  // A look asked of a removed distribution: it was applied again meanwhile, and the next run sees
  // it.
  if (run.roster?.removed && !run.lookWanted) return;
  // Nothing is awaited between reading what is carried over and continuing: Temporal repeats this
  // workflow task with every signal that arrives now.
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
  early: { bySite: new Map(Object.entries(input.carry?.orders ?? {})), all: null },
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

/** What is not committed: bounded, since lanes and early commands are. */
const openCommands = (run: Run): Record<string, Command> =>
  Object.fromEntries([
    ...run.early.bySite,
    ...[...run.lanes.values()].flatMap((lane) =>
      lane.command === null ? [] : [[lane.site, lane.command] as const],
    ),
  ]);

/**
 * Keeps the first error, which the main function throws: a bug then fails the workflow task, which
 * Temporal tries again until the fix is deployed.
 */
function fail(run: Run, error: unknown): void {
  run.fatal ??= { error };
}

function show(run: Run): void {
  if (run.roster !== null) run.display(run.roster, rowsOf(run));
}

/** Takes a roster: opens a lane for each row that came, closes the lane of each that went. */
function adopt(run: Run, answered: Roster): void {
  const roster = rosterByOurClock(answered, Date.now());
  run.roster = roster;
  const sites = new Set(roster.replications.map((row) => row.site));
  for (const lane of run.lanes.values()) {
    if (sites.has(lane.site)) continue;
    run.lanes.delete(lane.site);
    lane.ending = true;
    lane.work?.cancel();
  }
  for (const row of roster.replications) {
    const lane = run.lanes.get(row.site);
    if (lane === undefined) openLane(run, row);
    else if (row.rev > lane.row.rev) renew(lane, row);
  }
  show(run); // once for all of them: search attributes are an event each time
}

function renew(lane: Lane, row: Replication): void {
  const isMoved = row.queue !== lane.row.queue;
  lane.row = row;
  // What waits on the queue of before would wait for as long as no worker polls it.
  if (isMoved && patched(PATCHES.movedLanes)) lane.work?.cancel();
}

function openLane(run: Run, row: Replication): void {
  const { distribution, closing } = run;
  const command = takeEarly(run.early, row.site);
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
  run.laneEnds.set(row.site, runLane(run, lane));
}

/** Never rejects: an unhandled rejection would fail every workflow task from here on. */
async function runLane(run: Run, lane: Lane): Promise<void> {
  await run.laneEnds.get(lane.site); // a site that left and came back never has two lanes at once
  try {
    await siteLane(lane);
  } catch (error) {
    fail(run, error);
  }
  if (!run.closing && run.lanes.get(lane.site) === lane) run.lanes.delete(lane.site);
}

/** Looks at the archive when the poll is due, or when a look is asked for. */
async function captureLoop(run: Run): Promise<void> {
  let notBefore = 0;
  for (;;) {
    await until(
      () => run.closing || run.lookWanted,
      run.roster!.nextLookAt,
      'next look at the archive',
    );
    // The first of a burst of changes is looked at once; the others share the next look.
    await until(() => run.closing, notBefore, 'gather a burst of changes');
    if (run.closing || run.roster!.removed) return;
    notBefore = Date.now() + run.roster!.tuning.gatherMs;
    await capture(run);
  }
}

async function capture(run: Run): Promise<void> {
  const { distribution, looksAsked, lookWanted } = run;
  const early = { bySite: new Map(run.early.bySite), all: run.early.all };
  run.lookWanted = false; // before the archive is read: a look asked for meanwhile is another one
  const scope = new CancellationScope();
  run.capturing = scope;
  try {
    const input = { distribution, unconditional: lookWanted, seenRev: seenRevOf(run) };
    const summary = lookWanted ? 'look at the archive: asked' : 'look at the archive: poll';
    const queue = patched(PATCHES.archiveQueues) ? run.roster!.archive?.queue : undefined;
    const { outcome, generation, roster } = await scope.run(() =>
      archiveOn(queue).captureSnapshot.executeWithOptions({ summary }, [input]),
    );
    adopt(run, roster);
    // Its worker stopped: another one looks, and only then is anything answered.
    if (outcome === 'interrupted') return void (run.lookWanted = true);
    run.lookOutcome = roster.removed ? { outcome: 'removed' } : { outcome, generation };
  } catch (error) {
    if (scope.consideredCancelled) return void (run.lookWanted = true); // by the next run
    if (!(error instanceof ActivityFailure)) throw error;
    const report = reportOf(error);
    const summary = `record ${report.code}`;
    // The roster says when the archive is looked at again: sooner than the next poll. Lanes go on
    // with the generations that they have.
    const roster = await CancellationScope.nonCancellable(() =>
      record(report, (given) =>
        bookkeeping.recordCaptureFailure.executeWithOptions({ summary }, [
          { distribution, report: given },
        ]),
      ),
    );
    const later = { ...run.roster!, nextLookAt: Date.now() + REFUSED_MS };
    adopt(run, roster === 'refused' ? later : roster);
    run.lookOutcome = { outcome: 'failed', report };
  } finally {
    run.capturing = null;
  }
  run.looksAnswered = looksAsked;
  dropEarly(run.early, early, run.lookWanted);
}

/** Of a database that was restored, all that this run holds is newer than its rows. */
const seenRevOf = (run: Run): number =>
  Math.max(run.roster!.rev, ...rowsOf(run).map((row) => row.rev));

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

const isOver = (run: Run): boolean =>
  run.roster!.removed ||
  workflowInfo().continueAsNewSuggested ||
  workflowInfo().historyLength > run.roster!.tuning.historyEventsMax;

/** Lets running slices end, for drainMs at most, then cancels them. */
async function close(run: Run, captures: Promise<void>): Promise<void> {
  const working = (): CancellationScope[] =>
    [run.capturing, ...[...run.lanes.values()].map((lane) => lane.work)].filter(
      (scope) => scope !== null,
    );
  run.closing = true;
  for (const lane of run.lanes.values()) lane.ending = true;
  // A slice ends within seconds; one that waits for a worker may wait for ever.
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
