import { DebgeoError, type ErrorCode, type ErrorReport } from '../../src/domain/errors.ts';

/** A text is the whole of it; a pattern is found in it. */
type Facts = Partial<
  Record<keyof Pick<ErrorReport, 'message' | 'expected' | 'found' | 'state'>, string | RegExp>
>;

/**
 * For `assert.throws` and `assert.rejects`: the error is a DebgeoError with this code and, where
 * given, these facts. assert shows the name of the function and the error that came instead.
 */
export function refusesWith(
  code: ErrorCode,
  facts: Facts = {},
): (error: unknown) => error is DebgeoError {
  const isRight = (error: unknown): error is DebgeoError =>
    error instanceof DebgeoError &&
    error.code === code &&
    Object.entries(facts).every(([name, wanted]) =>
      holds(error.report[name as keyof Facts], wanted),
    );
  return Object.defineProperty(isRight, 'name', { value: `refuses with ${code}` });
}

const holds = (fact: string | undefined, wanted: string | RegExp): boolean =>
  typeof wanted === 'string' ? fact === wanted : fact !== undefined && wanted.test(fact);
