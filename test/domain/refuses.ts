import assert from 'node:assert/strict';

import { DebgeoError, type ErrorCode } from '../../src/domain/errors.ts';

/** Asserts that an action is refused with a code. */
export function refuses(code: ErrorCode, action: () => unknown, about?: string): void {
  assert.throws(
    action,
    (error) => {
      assert.ok(error instanceof DebgeoError, `${about ?? ''} ${String(error)}`);
      assert.equal(error.code, code, about);
      return true;
    },
    about,
  );
}

/** Repeatable numbers in [0, 1): mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
