/** The events of a soak in a file, one JSON object per line, for a diagnosis. */
import { appendFileSync } from 'node:fs';

export interface Journal {
  readonly file: string;
  /** @param facts beside the time in seconds since the start, and the clock */
  note(what: string, facts?: Readonly<Record<string, unknown>>): void;
}

export function openJournal(file: string): Journal {
  const start = performance.now();
  return {
    file,
    note(what, facts = {}) {
      const seconds = Number(((performance.now() - start) / 1_000).toFixed(3));
      const line = JSON.stringify({ seconds, at: new Date().toISOString(), what, ...facts });
      appendFileSync(file, `${line}\n`);
    },
  };
}
