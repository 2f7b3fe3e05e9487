import assert from 'node:assert/strict';
import { test } from 'node:test';

import { readOptions } from '../../bench/options.ts';

const WORKS = ['first-small', 'verify', 'delta', 'first-real', 'two-sites'];

test('a run without options measures three rounds of the full size', () => {
  assert.deepEqual(readOptions([], WORKS), {
    only: null,
    rounds: 3,
    divide: 1,
    peers: true,
    profile: false,
  });
});

test('--quick is one round at a twentieth, --profile one of some works without peers', () => {
  assert.deepEqual(readOptions(['--quick'], WORKS), {
    only: null,
    rounds: 1,
    divide: 20,
    peers: true,
    profile: false,
  });
  assert.deepEqual(readOptions(['--profile'], WORKS), {
    only: WORKS,
    rounds: 1,
    divide: 1,
    peers: false,
    profile: true,
  });
});

test('an unknown work, a wrong number and an unknown option are refused', () => {
  assert.throws(() => readOptions(['--only', 'delta,first-smal'], WORKS), RangeError);
  assert.throws(() => readOptions(['--rounds', '0'], WORKS), RangeError);
  assert.throws(() => readOptions(['--slow'], WORKS), TypeError);
});
