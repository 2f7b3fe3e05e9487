/** How an activity fails: the only place where a DebgeoError becomes a failure of Temporal. */
import { ApplicationFailure, CancelledFailure } from '@temporalio/activity';

import { DebgeoError, printableReport } from '../src/domain/errors.ts';
import { LIMITS } from '../src/domain/limits.ts';
import { printable, printableLines } from '../src/domain/text.ts';
import { activityContext, triesOfActivity } from './context.ts';

/** A row that a constraint excludes may be there because of a transaction that has ended since. */
const CONSTRAINT_TRIES = 3;
const CAUSES_MAX = 3;
const STACK_CHARACTERS = 4 * LIMITS.errorCharacters;

/**
 * What Temporal is told of an error.
 *
 * - Cancelled: any error that was thrown after the activity's own signal was aborted.
 * - A DebgeoError: `type` is its code, the detail its report; not retried by Temporal, because the
 *   lane and the capture loop do that.
 * - An abort or a timeout without a cancel: STALLED.
 * - What PostgreSQL will never store: DATABASE_REFUSED.
 * - Any other error has no code and stays as it is: Temporal retries it.
 *
 * Texts of errors, and of what caused them, are printable and bounded: Temporal's server takes no
 * half of a surrogate pair, and no failure of 4 MB; the activity would be repeated for ever.
 *
 * @param tries how often Temporal has started this activity
 */
export function failureOf(error: unknown, signal: AbortSignal, tries = 1): unknown {
  if (signal.aborted)
    return signal.reason instanceof CancelledFailure
      ? signal.reason
      : new CancelledFailure('cancelled');
  if (error instanceof DebgeoError) return coded(error);
  if (isAbort(error))
    return coded(
      new DebgeoError('STALLED', 'a request was given up', { found: error.message }, error),
    );
  if (isRefusedByPostgres(error, tries))
    return coded(
      new DebgeoError(
        'DATABASE_REFUSED',
        'PostgreSQL does not store what was written',
        { found: `SQLSTATE ${error.code}: ${error.message}` },
        error,
      ),
    );
  return fit(error);
}

/** Every activity of the vocabulary runs inside this. */
export function failing<Args extends unknown[], Result>(
  activity: (...args: Args) => Promise<Result>,
): (...args: Args) => Promise<Result> {
  return async (...args) => {
    try {
      return await activity(...args);
    } catch (error) {
      throw failureOf(error, activityContext().signal, triesOfActivity());
    }
  };
}

const isAbort = (error: unknown): error is Error =>
  error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError');

/** Of the driver `pg`, as Kysely throws it and MikroORM copies it. */
interface PostgresError extends Error {
  /** SQLSTATE (PostgreSQL, appendix A). */
  readonly code: string;
  readonly severity: string;
}

/**
 * Class 22, data exception, whenever it is tried. So is 08P01 of a single statement, which is what
 * a NUL in its text becomes; a pooler that gives up a connection says 08P01 with FATAL. Class 23, a
 * constraint, after some tries.
 */
function isRefusedByPostgres(error: unknown, tries: number): error is PostgresError {
  if (!(error instanceof Error)) return false;
  const { code, severity } = error as Partial<PostgresError>;
  if (typeof code !== 'string' || severity !== 'ERROR') return false;
  return (
    /^22...$/.test(code) || code === '08P01' || (/^23...$/.test(code) && tries >= CONSTRAINT_TRIES)
  );
}

const coded = (error: DebgeoError): ApplicationFailure =>
  ApplicationFailure.create({
    type: error.code,
    message: error.message,
    nonRetryable: true,
    details: [printableReport(error.report)],
    cause: fit(error),
  });

/** The error itself where all of it may go to Temporal, else a copy with what may. */
function fit(thrown: unknown, depth = 0): Error {
  if (!(thrown instanceof Error)) return new Error(printable(thrown));
  const { cause } = thrown;
  const name = printable(thrown.name);
  const message = printable(thrown.message);
  const stack = printableLines(thrown.stack ?? '', STACK_CHARACTERS);
  const isFit = name === thrown.name && message === thrown.message && stack === thrown.stack;
  if (isFit && cause === undefined) return thrown;
  const copy = new Error(message);
  if (cause instanceof Error && depth < CAUSES_MAX) copy.cause = fit(cause, depth + 1);
  return Object.assign(copy, { name, stack });
}
