import { ActivityFailure, ApplicationFailure, log } from '@temporalio/workflow';

import type { ErrorReport } from '../src/domain/errors.ts';
import { reportOf } from './report-of.ts';

/**
 * Where PostgreSQL refuses even a bare code, which is a fault of debgeo, what failed is tried again
 * after this.
 */
export const REFUSED_MS = 60_000;

/**
 * Has a failure put on record. Bookkeeping is repeated for as long as the database is away; what
 * PostgreSQL never stores (DATABASE_REFUSED) ends it. Then the code alone is recorded: a report
 * that cannot be stored must stop neither the capture loop nor a lane.
 * @returns `refused`: that was refused, too, and nothing is on record but the lines of the log
 */
export async function record<Row>(
  report: ErrorReport,
  write: (report: ErrorReport) => Promise<Row>,
): Promise<Row | 'refused'> {
  const { code } = report;
  for (const one of [report, { code, message: 'what it said could not be stored' }])
    try {
      return await write(one);
    } catch (error) {
      if (!isRefused(error)) throw error;
      log.error('a failure could not be put on record', { code, refusal: reportOf(error) });
    }
  return 'refused';
}

/**
 * What PostgreSQL refuses to store. Any other code (a database of another version, say) is no fault
 * of what was to be recorded: it ends the run, and a worker starts the next one.
 */
export const isRefused = (error: unknown): boolean =>
  error instanceof ActivityFailure &&
  error.cause instanceof ApplicationFailure &&
  error.cause.type === 'DATABASE_REFUSED';
