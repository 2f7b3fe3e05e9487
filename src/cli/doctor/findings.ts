/**
 * What doctor prints: one line per subject. `ok`; `wrong` with what to do, which makes the command
 * fail; `note` for what only costs money or time, or cannot be seen.
 */
import { DebgeoError, type ErrorReport } from '../../domain/errors.ts';
import { describeError } from '../print-error.ts';

export class Findings {
  /** Subjects that are wrong; nothing else counts for the exit code. */
  faults = 0;

  ok(what: string, text: string): void {
    print('ok', what, text);
  }

  note(what: string, text: string): void {
    print('note', what, text);
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
      this.#wrong(what, error instanceof DebgeoError ? describeError(error.report) : String(error));
      return undefined;
    }
  }

  #wrong(what: string, text: string): void {
    this.faults += 1;
    print('wrong', what, text);
  }
}

const print = (level: string, what: string, text: string): void =>
  void process.stdout.write(`${level.padEnd(6)} ${what}: ${text.replaceAll('\n', '\n       ')}\n`);
