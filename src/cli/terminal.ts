/**
 * The only place of this room that writes to a terminal. Rows and errors quote archives and sites;
 * nothing of theirs may move the cursor, change the clipboard (OSC 52) or hide text, so all but
 * line feeds is escaped here, whatever was escaped before. A line of theirs is a line of ours only
 * where `describeError` indents it.
 */
import { printable, printableJson, printableLines } from '../domain/text.ts';

/** To stdout, as lines. */
export const print = (text: string): void =>
  void process.stdout.write(`${printableLines(text, Infinity)}\n`);

/** To stderr, as lines: what is said beside the output of a command. */
export const notice = (text: string): void =>
  void process.stderr.write(`${printableLines(text, Infinity)}\n`);

/** To stdout. */
export const printAsJson = (value: unknown): void =>
  void process.stdout.write(`${printableJson(value, 2)}\n`);

export const printLine = (output: NodeJS.WriteStream, line: string): void =>
  void output.write(`${printable(line)}\n`);

/** Draws lines again and again in the same place, each cut to the width of the terminal. */
export function redrawing(output: NodeJS.WriteStream): (lines: readonly string[]) => void {
  let drawn = 0;
  return (lines) => {
    if (drawn > 0) output.write(`\u001b[${drawn}A`);
    // the last column stays free, and one is for the `…`
    const width = (output.columns || 80) - 2;
    for (const line of lines) output.write(`\u001b[2K${printable(line, width)}\n`);
    drawn = lines.length;
  };
}
