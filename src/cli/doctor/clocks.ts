import { readDatabaseClock } from '../../database/server/clock.ts';
import type { JoinedDeps } from '../../deps.ts';
import { newestPollAt } from '../../temporal/describe.ts';
import { withTemporal, type Options } from '../connect.ts';
import type { Findings } from './findings.ts';

/** Releases expire, and a release of the future is refused, by the worker's clock. */
const DIFFERENCE_MS = 5_000;
/** A worker polls at least once a minute. */
const POLL_MS = 65_000;

/** Compares clocks with this machine's. Deadlines need none of them: they are durations. */
export async function examineClocks(
  findings: Findings,
  options: Options,
  deps: JoinedDeps,
  hasTemporal: boolean,
): Promise<void> {
  const asked = Date.now();
  const answered = await readDatabaseClock(deps.database);
  const difference = answered - (asked + Date.now()) / 2;
  say(findings, 'clock of the database', difference, difference);
  if (!hasTemporal) return;
  const polledAt = await withTemporal(options, newestPollAt);
  if (polledAt === null) return; // no worker: said where workers are examined
  const since = polledAt - Date.now();
  if (since + POLL_MS < -DIFFERENCE_MS)
    return findings.note('clock of Temporal', 'is behind, or the last worker has stopped polling');
  say(findings, 'clock of Temporal', since, since + POLL_MS);
}

/**
 * @param least how much later than this machine's clock it is at the least, milliseconds
 * @param most and at the most
 */
export function say(
  findings: Pick<Findings, 'ok' | 'note'>,
  what: string,
  least: number,
  most: number,
): void {
  const seconds = (value: number): string => `${(value / 1_000).toFixed(1)} s`;
  const remedy = 'set the clocks of both machines, for example with chrony';
  if (least > DIFFERENCE_MS)
    findings.note(what, `is ${seconds(least)} ahead of this machine's: ${remedy}`);
  else if (most < -DIFFERENCE_MS)
    findings.note(what, `is ${seconds(-most)} behind this machine's: ${remedy}`);
  else findings.ok(what, `within ${seconds(DIFFERENCE_MS)} of this machine's`);
}
