import assert from 'node:assert/strict';
import { test } from 'node:test';

import { compare, spreadOf } from '../../bench/statistics.ts';

test('the median is the middle round, or the mean of the two in the middle', () => {
  assert.deepEqual(spreadOf([9, 1, 4]), { median: 4, min: 1, max: 9, rounds: 3 });
  assert.deepEqual(spreadOf([10, 2, 4, 1]), { median: 3, min: 1, max: 10, rounds: 4 });
});

test('without a measurement there is no median', () => {
  assert.throws(() => spreadOf([]), RangeError);
});

test('a difference of medians smaller than the wider spread is noise, either way', () => {
  assert.deepEqual(compare([10, 11, 12], [9.5, 10, 10.5]), { ratio: 1.1, difference: 'noise' });
  assert.equal(compare([9.5, 10, 10.5], [10, 11, 12]).difference, 'noise');
});

test('a difference beyond the spread says which contender took longer', () => {
  assert.deepEqual(compare([20, 21, 22], [10, 10, 10]), { ratio: 2.1, difference: 'slower' });
  assert.equal(compare([10, 10, 10], [20, 21, 22]).difference, 'faster');
});

test('with a single round of either the difference is unknown', () => {
  assert.equal(compare([20], [1, 1, 1]).difference, 'unknown');
  assert.equal(compare([1, 1, 1], [20]).difference, 'unknown');
});
