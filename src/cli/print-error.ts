/**
 * An error as an operator reads it: code, one line, expected, found, state, do. The table of
 * `domain/errors.ts` says what to do, and the exit code.
 */
import { DebgeoError, ruleOf, type ErrorReport } from '../domain/errors.ts';
import { printable } from '../domain/text.ts';
import { notice } from './terminal.ts';

/** @param report of this process, or as a row or another process has it: it is made printable */
export function describeError(report: ErrorReport): string {
  const { code, message, expected, found, state } = DebgeoError.of(report).report;
  return [
    `${printable(code)}: ${message}`,
    ...(expected === undefined ? [] : [`  expected: ${indented(expected)}`]),
    ...(found === undefined ? [] : [`  found:    ${indented(found)}`]),
    ...(state === undefined ? [] : [`  state:    ${indented(state)}`]),
    `  do:       ${ruleOf(code).remedy}`,
  ].join('\n');
}

const indented = (text: string): string => text.split('\n').join('\n            ');

/**
 * An error without a code is a bug of debgeo and is shown with its stack.
 * @returns the exit code of the command
 */
export function printError(error: unknown): number {
  if (error instanceof DebgeoError) {
    notice(describeError(error.report));
    return ruleOf(error.code).exit;
  }
  notice(error instanceof Error ? (error.stack ?? error.message) : printable(error));
  return 1;
}
