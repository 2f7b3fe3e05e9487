/** Faults of the file, each said with the line and column where it is. */
import { isMap, type Document, type LineCounter } from 'yaml';

import { DebgeoError } from '../domain/errors.ts';

export interface Fault {
  /** Keys and indices from the root of the file. */
  readonly path: readonly PropertyKey[];
  /** What is expected there. */
  readonly message: string;
  /** Offset in the file, where the YAML itself is broken. */
  readonly offset?: number;
}

/** CONFIG_INVALID, with one line per fault: `file:line:column path: what is expected`. */
export function refusalOf(
  file: string,
  document: Document.Parsed,
  lines: LineCounter,
  faults: readonly Fault[],
): DebgeoError {
  const found = faults
    .map((fault) => ({ ...lines.linePos(fault.offset ?? offsetOf(document, fault.path)), fault }))
    .sort((a, b) => a.line - b.line || a.col - b.col)
    .map(({ line, col, fault: { path, message } }) => {
      const key = path.length === 0 ? '' : `${path.map(String).join('.')}: `;
      return `${file}:${line}:${col} ${key}${message}`;
    });
  return new DebgeoError(
    'CONFIG_INVALID',
    `${file} has ${faults.length} ${faults.length === 1 ? 'fault' : 'faults'}`,
    {
      expected: 'archives, sites and distributions as docs/configuration.md describes them',
      found,
      state: 'nothing changed',
    },
  );
}

/**
 * Where the value (or key) at a path begins in the file; for a missing one, where the map begins
 * that should have it.
 */
function offsetOf(document: Document.Parsed, path: readonly PropertyKey[]): number {
  for (let depth = path.length; depth > 0; depth--) {
    const map = document.getIn(path.slice(0, depth - 1), true);
    const pair = isMap(map)
      ? map.items.find((item) => String(item.key) === String(path[depth - 1]))
      : undefined;
    const node = (pair?.key ?? document.getIn(path.slice(0, depth), true)) as
      | { range?: readonly number[] }
      | undefined;
    if (node?.range?.[0] !== undefined) return node.range[0];
  }
  return 0;
}
