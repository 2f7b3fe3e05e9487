/** Faults of the file, each said with the line and column where it is. */
import { DebgeoError } from '../domain/errors.ts';
import type { ConfigurationDocument } from './configuration-document.ts';

export interface Fault {
  /** Keys and indices from the root of the file. */
  readonly path: readonly PropertyKey[];
  /** What is expected there. */
  readonly message: string;
  /** Offset in the file, where it is not that of the path. */
  readonly offset?: number;
}

/** Takes a fault of what stands at a path. */
export type Tell = (path: readonly PropertyKey[], message: string) => void;

const EXPECTED = 'archives, sites and distributions as docs/configuration.md describes them';

/** CONFIG_INVALID, with one line per fault: `file:line:column path: what is expected`. */
export function refusalOf(
  file: string,
  document: ConfigurationDocument,
  faults: readonly Fault[],
): DebgeoError {
  const found = faults
    .map((fault) => ({ ...document.placeOf(fault), fault }))
    .sort((a, b) => a.line - b.line || a.col - b.col)
    .map(({ line, col, fault: { path, message } }) => {
      const key = path.length === 0 ? '' : `${path.map(String).join('.')}: `;
      return `${file}:${line}:${col} ${key}${message}`;
    });
  const count = `${faults.length} ${faults.length === 1 ? 'fault' : 'faults'}`;
  return refused(`${file} has ${count}`, EXPECTED, found);
}

export const refused = (
  message: string,
  expected: string,
  found: string | readonly string[],
  cause?: unknown,
): DebgeoError =>
  new DebgeoError('CONFIG_INVALID', message, { expected, found, state: 'nothing changed' }, cause);
