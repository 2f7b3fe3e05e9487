/**
 * An error as an operator reads it: code, one line, expected, found, state, do. The exit code comes
 * from the same table.
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
 * @returns the exit code of the command; an error that has no code is a bug of ours and is shown
 *   whole
 */
export const printError = (error: unknown): number => {
  if (error instanceof DebgeoError) {
    process.stderr.write(`${describeError(error.report)}\n`);
    return ruleOf(error.code).exit;
  }
  process.stderr.write(
    `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  return 1;
};
