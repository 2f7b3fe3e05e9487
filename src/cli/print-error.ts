/**
 * An error as an operator reads it: code, one line, expected, found, state, do. The table of
 * `domain/errors.ts` says what to do, and the exit code.
 */
import { DebgeoError, ruleOf, type ErrorReport } from '../domain/errors.ts';

export const describeError = (report: ErrorReport): string =>
  [
    `${report.code}: ${report.message}`,
    ...(report.expected === undefined ? [] : [`  expected: ${indented(report.expected)}`]),
    ...(report.found === undefined ? [] : [`  found:    ${indented(report.found)}`]),
    ...(report.state === undefined ? [] : [`  state:    ${indented(report.state)}`]),
    `  do:       ${ruleOf(report.code).remedy}`,
  ].join('\n');

const indented = (text: string): string => text.split('\n').join('\n            ');

/**
 * An error without a code is a bug of debgeo and is shown with its stack.
 * @returns the exit code of the command
 */
export function printError(error: unknown): number {
  if (error instanceof DebgeoError) {
    process.stderr.write(`${describeError(error.report)}\n`);
    return ruleOf(error.code).exit;
  }
  process.stderr.write(
    `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  return 1;
}
