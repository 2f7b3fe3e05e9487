import type { Command } from '../src/domain/replication.ts';
import { printable } from '../src/domain/text.ts';
import type { SignalName } from './messages.ts';

/**
 * What each signal asks of a lane; null: of the capture loop. The words stand in the Temporal UI,
 * where a signal can be sent by hand.
 */
export const SIGNAL_MEANINGS: Readonly<
  Record<SignalName, { readonly command: Command | null; readonly description: string }>
> = {
  distributionChanged: { command: null, description: 'look at the archive now' },
  retry: {
    command: { want: 'retry' },
    description:
      'start failed, parked or cancelled sites at once; {"site": NAME} or nothing for all',
  },
  cancel: {
    command: { want: 'cancel' },
    description:
      'stop copying until retry or a newer generation; {"site": NAME} or nothing for all',
  },
  pause: {
    command: { paused: true },
    description: 'let the slice end, then hold until resume; {"site": NAME} or nothing for all',
  },
  resume: {
    command: { paused: false },
    description: 'go on after pause; {"site": NAME} or nothing for all',
  },
  verify: {
    command: { verify: true },
    description: 'read every blob back, judge, repair; {"site": NAME} or nothing for all',
  },
};

/** Keys of an argument that a log line names. */
const KEYS_SHOWN = 10;

/**
 * What a signal carried, for the log: at most a line, whatever was sent. It is not walked through:
 * arrays within arrays, a million deep, end every recursion.
 */
export function describeArgument(argument: unknown): string {
  if (typeof argument !== 'object' || argument === null) return printable(argument);
  if (Array.isArray(argument)) return `${argument.length} values`;
  const keys = Object.keys(argument);
  return printable(`${keys.length} keys: ${keys.slice(0, KEYS_SHOWN).join(', ')}`);
}

/**
 * The sites that a signal means, by its argument. Nothing or `{}` is all sites. An argument that is
 * neither that nor a name means no site: a typing error must not cancel all of them.
 */
export function siteOf(argument: unknown): { readonly name: string } | 'all' | 'malformed' {
  if (argument === undefined || argument === null) return 'all';
  if (typeof argument !== 'object' || ArrayBuffer.isView(argument)) return 'malformed';
  const keys = Object.keys(argument);
  if (keys.length === 0 && !Array.isArray(argument)) return 'all';
  const { site } = argument as { readonly site?: unknown };
  return keys.length === 1 && typeof site === 'string' ? { name: site } : 'malformed';
}
