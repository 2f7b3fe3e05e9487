import assert from 'node:assert/strict';
import test from 'node:test';

import { LIMITS } from '../../src/domain/limits.ts';
import { isSampled, leastMs, passMs, rateNeeded, waitMs } from '../../src/domain/scrub.ts';

const DAY = 86_400_000;
const GB = 1e9;

test('slices come evenly: a pass ends when its time does', () => {
  const interval = 30 * DAY;
  let left = { files: 60_000, bytes: 1_000 * GB };
  let at = 0;
  let slices = 0;
  while (left.bytes > 0) {
    const read = { files: 16, bytes: Math.min(left.bytes, LIMITS.scrubSliceBytes) };
    left = { files: left.files - read.files, bytes: left.bytes - read.bytes };
    at += waitMs(read, left, passMs(interval) - at);
    slices += 1;
  }

  assert.ok(slices > 3_000);
  assert.ok(at <= passMs(interval) && at > 0.99 * passMs(interval), `${at / DAY} days`);
});

test('what is late is read at once, and nothing waits for nothing', () => {
  assert.equal(waitMs({ files: 1, bytes: 1 }, { files: 9, bytes: 9 }, -1), 0);
  assert.equal(waitMs({ files: 0, bytes: 0 }, { files: 9, bytes: 9 }, DAY), 0);
});

test('many small files are divided over time as well', () => {
  const half = { files: 500, bytes: 0 };

  assert.equal(waitMs(half, half, 1_000), 500);
});

test('a pass over 1 TB in 30 days needs 430 kB/s', () => {
  assert.equal(Math.round(rateNeeded(1_000 * GB, 30 * DAY) / 1_000), 429);
});

test('a scrub takes half of what a site may carry', () => {
  assert.equal(leastMs(1_000_000, 1_000_000), 2_000);
  assert.equal(leastMs(1_000_000, null), 0);
});

test('the first file and one in a hundred are read as a reader does, at most 200', () => {
  const sampled = (total: number, startedAt = 0) =>
    Array.from({ length: total }, (_, nth) => nth).filter((nth) =>
      isSampled(nth, total, startedAt),
    );

  assert.equal(sampled(10_000, 7).length, 101);
  assert.deepEqual(sampled(3, 99), [0]);
  assert.equal(sampled(0).length, 0);
  assert.ok(sampled(1_000_000).length <= LIMITS.scrubPublicFiles);
  assert.notDeepEqual(sampled(1_000, 17), sampled(1_000, 18));
});
