import type { ErrorCode } from '../../../src/domain/errors.ts';
import type { Hand, Overlay } from './hostile-archive.ts';

export type Group =
  | 'signature'
  | 'index'
  | 'path'
  | 'size'
  | 'digest'
  | 'bulk'
  | 'transport'
  | 'link'
  | 'change'
  | 'pool';

/** One thing that an archive may do to us, and the code that it is refused with. */
export interface HostileCase {
  readonly group: Group;
  readonly name: string;
  readonly code: ErrorCode;
  readonly over: (hand: Hand) => Promise<Overlay>;
  /** Over http unless said. */
  readonly at?: 'folder';
  /**
   * The release itself is right, so it is captured; its files cannot be had right, so no site may
   * change what it serves.
   */
  readonly captured?: true;
}

/** Shortens a table: what stays the same of some cases, and what each of them lays. */
export const casesOf = (
  group: Group,
  rows: readonly (readonly [name: string, code: ErrorCode, over: HostileCase['over']])[],
): HostileCase[] => rows.map(([name, code, over]) => ({ group, name, code, over }));
