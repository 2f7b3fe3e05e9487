/** The exit code of a command that waited for sites, and what went wrong at which of them. */
import type { LaneProgress } from '../database/views/progress.ts';
import { ruleOf, type ErrorReport } from '../domain/errors.ts';
import { describeError } from './print-error.ts';
import { notice } from './terminal.ts';

const REPORTS: Readonly<Record<'cancelled' | 'paused', (site: string) => ErrorReport>> = {
  cancelled: (site) => ({
    code: 'CANCELLED',
    message: `the replication to ${site} is cancelled`,
    state: 'what was copied stays; the site serves what it served',
  }),
  paused: (site) => ({
    code: 'PAUSED',
    message: `the replication to ${site} is paused`,
    state: 'what was copied stays; the site serves what it served; what was asked for waits',
  }),
};

/**
 * Prints to stderr, one by one, the sites that are not done.
 * @returns 0 if all are done, else the exit code of the first that is not
 */
export function exitCodeOf(
  sites: readonly LaneProgress[],
  done: (site: LaneProgress) => boolean,
): number {
  let exit = 0;
  for (const site of sites.filter((one) => !done(one))) {
    const report = site.failure ?? REPORTS[site.paused ? 'paused' : 'cancelled'](site.site);
    const state = report.state ?? `${site.site} still serves ${servedBy(site)}`;
    notice(`${site.site}: ${describeError({ ...report, state })}`);
    exit ||= ruleOf(report.code).exit;
  }
  return exit;
}

const servedBy = ({ served }: LaneProgress): string =>
  served === 0 ? 'nothing' : `generation ${served}`;
