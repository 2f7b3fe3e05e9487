/**
 * What doctor prints: one line per subject. `ok`; `wrong` with what to do, which makes the command
 * fail; `note` for what only costs money or time, or cannot be seen.
 */
import { DebgeoError, type ErrorReport } from '../../domain/errors.ts';
import { printable } from '../../domain/text.ts';
import { describeError } from '../print-error.ts';
import { print } from '../terminal.ts';

export class Findings {
  /** Subjects that are wrong; nothing else counts for the exit code. */
  faults = 0;

  ok(what: string, text: string): void {
    finding('ok', what, printable(text));
  }

  note(what: string, text: string): void {
    finding('note', what, printable(text));
  }

  wrong(what: string, report: ErrorReport): void {
    this.#wrong(what, describeError(report));
  }

  /** Undefined: it is wrong, and that was printed. */
  async check<T>(
    what: string,
    work: () => Promise<T>,
    say: (result: T) => string,
  ): Promise<T | undefined> {
    try {
      const result = await work();
      this.ok(what, say(result));
      return result;
    } catch (error) {
      this.#wrong(
        what,
        error instanceof DebgeoError ? describeError(error.report) : printable(error),
      );
      return undefined;
    }
  }

  #wrong(what: string, text: string): void {
    this.faults += 1;
    finding('wrong', what, text);
  }
}

const finding = (level: string, what: string, text: string): void =>
  print(`${level.padEnd(6)} ${printable(what)}: ${text.replaceAll('\n', '\n       ')}`);
