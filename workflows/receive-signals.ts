/**
 * Signals to `distribution/<name>`. A signal only changes memory: it asks for a look, or gives
 * lanes a command.
 */
import { log, setDefaultSignalHandler, setHandler } from '@temporalio/workflow';

import { siteOf, SIGNAL_MEANINGS } from './commands.ts';
import { SIGNALS, type SignalName } from './messages.ts';
import type { Lane } from './site-lane.ts';

/** All of a run that a signal may change. */
interface Receiver {
  /** By site. */
  readonly lanes: ReadonlyMap<string, Lane>;
  lookWanted: boolean;
}

/**
 * Handlers never await and never throw, whatever was sent: a throw would fail every workflow task
 * from here on, and stop every site.
 */
export function receiveSignals(run: Receiver): void {
  // The default handler comes first: what the SDK has buffered, of whatever name, arrives in the
  // sequence in which it was sent.
  setDefaultSignalHandler((signal, argument) => receive(run, signal, argument));
  for (const [name, signal] of Object.entries(SIGNALS))
    setHandler(signal, (argument?: unknown) => receive(run, name, argument), {
      description: SIGNAL_MEANINGS[name as SignalName].description,
    });
}

function receive(run: Receiver, signal: string, argument: unknown): void {
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
    // cancel stops bytes now; pause lets the slice end
    if (meaning.command.want === 'cancel' && !lane.row.publishing) lane.work?.cancel();
  }
  if (meaning.command.want === 'retry' && site === 'all') run.lookWanted = true;
}
