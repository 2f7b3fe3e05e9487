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

test('--quick is one round of a twentieth, --profile one of the works whose worker is looked into, without peers', () => {
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

test('a work that is not there and a number that is none are refused', () => {
  assert.throws(() => readOptions(['--only', 'delta,first-smal'], WORKS), RangeError);
  assert.throws(() => readOptions(['--rounds', '0'], WORKS), RangeError);
  assert.throws(() => readOptions(['--slow'], WORKS), TypeError);
});
