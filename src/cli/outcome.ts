/** Turns the sites that a command waited for into its exit code, and says what went wrong where. */
import type { LaneProgress } from '../database/views/progress.ts';
import { ruleOf, type ErrorReport } from '../domain/errors.ts';
import { describeError } from './print-error.ts';

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
 * 0 if all are done; otherwise the exit code of the first that is not, worst told on stderr one by
 * one.
 */
export const exitCodeOf = (
  sites: readonly LaneProgress[],
  done: (site: LaneProgress) => boolean,
): number => {
  let exit = 0;
  for (const site of sites.filter((one) => !done(one))) {
    const report = site.failure ?? REPORTS[site.paused ? 'paused' : 'cancelled'](site.site);
    process.stderr.write(
      `${site.site}: ${describeError({ ...report, state: report.state ?? `${site.site} still serves ${site.served === 0 ? 'nothing' : `generation ${site.served}`}` })}\n`,
    );
    exit ||= ruleOf(report.code).exit;
  }
  return exit;
};
