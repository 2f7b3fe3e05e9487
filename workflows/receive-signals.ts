/**
 * Signals to `distribution/<name>`. A signal only changes memory: it asks for a look, or gives
 * lanes a command.
 */
import { log, patched, setHandler } from '@temporalio/workflow';

import { LIMITS } from '../src/domain/limits.ts';
import type { Command } from '../src/domain/replication.ts';
import { describeArgument, siteOf, SIGNAL_MEANINGS } from './commands.ts';
import { keepForAll, keepForSite, type EarlyCommands } from './early-commands.ts';
import { SIGNALS, type SignalName } from './messages.ts';
import { PATCHES } from './patches.ts';
import type { Lane } from './site-lane.ts';

/** All of a run that a signal may change. */
interface Receiver {
  /** By site. */
  readonly lanes: ReadonlyMap<string, Lane>;
  readonly early: EarlyCommands;
  /** A look is in work. */
  readonly capturing: unknown;
  lookWanted: boolean;
}

/**
 * Takes signals from now on, and keeps them in the sequence in which they came until the returned
 * function is called. Handlers never await and never throw, whatever was sent: a throw would fail
 * every workflow task from here on, and stop every site.
 *
 * There is no default handler, because the SDK throws where it would have to give it a signal named
 * `__temporal_…`. A signal of another name changes nothing.
 */
export function receiveSignals(run: Receiver): () => void {
  const early: (readonly [signal: SignalName, argument: unknown])[] = [];
  let isOpen = false;
  for (const [name, signal] of Object.entries(SIGNALS) as [SignalName, typeof SIGNALS.retry][])
    setHandler(
      signal,
      (argument?: unknown) => {
        if (isOpen) receive(run, name, argument);
        else early.push([name, argument]);
      },
      { description: SIGNAL_MEANINGS[name].description },
    );
  return () => {
    isOpen = true;
    for (const [signal, argument] of early.splice(0)) receive(run, signal, argument);
  };
}

function receive(run: Receiver, signal: SignalName, argument: unknown): void {
  const { command } = SIGNAL_MEANINGS[signal];
  if (command === null) return void (run.lookWanted = true);
  const site = siteOf(argument);
  if (site === 'malformed')
    return log.warn('signal ignored', { signal, argument: describeArgument(argument) });
  if (site !== 'all') return toOne(run, signal, site.name, command);
  if ((run.lookWanted || run.capturing !== null) && patched(PATCHES.earlyCommands))
    keepForAll(run.early, command);
  for (const lane of run.lanes.values()) give(lane, command);
  if (command.want !== 'retry') return;
  if (run.lanes.size > 0 || patched(PATCHES.earlyCommands)) run.lookWanted = true;
}

function toOne(run: Receiver, signal: SignalName, site: string, command: Command): void {
  const lane = run.lanes.get(site);
  if (lane !== undefined) return give(lane, command);
  const isName = site.length <= LIMITS.nameCharacters;
  if (!isName || !patched(PATCHES.earlyCommands))
    return log.warn('signal for a site that has no lane', {
      signal,
      site: site.slice(0, LIMITS.nameCharacters),
    });
  // The row may be there, and its lane open with the next roster: `apply` comes before a command.
  keepForSite(run.early, site, command);
  run.lookWanted = true;
}

function give(lane: Lane, command: Command): void {
  lane.command = { ...lane.command, ...command };
  // cancel stops bytes now; pause lets the slice end
  if (command.want === 'cancel' && !lane.row.publishing) lane.work?.cancel();
}
