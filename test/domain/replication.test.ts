import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { LIMITS } from '../../src/domain/limits.ts';
import {
  backoffMs,
  BLOB_TRANSITIONS,
  generationOf,
  isBehind,
  isDue,
  REPLICATION_TRANSITIONS,
  type Replication,
} from '../../src/domain/replication.ts';
import { seeded } from '../support/seeded.ts';

const served: Replication = {
  site: 'fra',
  queue: 'debgeo-site-fra',
  target: 3,
  pinned: null,
  served: 3,
  state: 'synced',
  paused: false,
  publishing: false,
  verifyRequestedAt: null,
  retryCount: 0,
  retryAt: null,
  code: null,
  filesDone: 0,
  filesTotal: 0,
  bytesDone: 0,
  bytesTotal: 0,
  distributionStatus: 'success',
  rev: 1,
};

describe('isBehind', () => {
  it('is false for a site that serves the newest generation', () => {
    assert.equal(isBehind(served), false);
  });

  it('is true for a newer generation, an unfinished one, an open publication, a verify', () => {
    const behind: Partial<Replication>[] = [
      { served: 2 },
      { state: 'pending' },
      { state: 'started' },
      { state: 'failed' },
      { publishing: true },
      { verifyRequestedAt: 0 },
    ];

    for (const change of behind)
      assert.equal(isBehind({ ...served, ...change }), true, JSON.stringify(change));
  });

  it('is false while paused, after cancel, and before the first capture', () => {
    for (const held of [
      { paused: true },
      { state: 'cancelled' },
      { target: 0, served: 0, state: 'pending' },
    ] as const) {
      assert.equal(isBehind({ ...served, served: 0, ...held }), false, JSON.stringify(held));
    }
  });

  it('is true while a publication is open, whatever holds the lane', () => {
    for (const held of [{ paused: true }, { state: 'cancelled' }] as const) {
      assert.equal(isBehind({ ...served, publishing: true, ...held }), true, JSON.stringify(held));
    }
  });
});

describe('isDue', () => {
  it('holds a failed lane until its time, then lets it go', () => {
    const failed: Replication = { ...served, served: 2, state: 'failed', retryAt: 1000 };

    assert.deepEqual(
      [999, 1000, 1001].map((now) => isDue(failed, now)),
      [false, true, true],
    );
  });

  it('parks a failed lane without a time for ever', () => {
    assert.equal(
      isDue({ ...served, served: 2, state: 'failed', retryAt: null }, Number.MAX_SAFE_INTEGER),
      false,
    );
  });

  it('does not hold a lane that is not failed, and needs one that is behind', () => {
    assert.equal(isDue({ ...served, served: 2, state: 'pending', retryAt: 1000 }, 0), true);
    assert.equal(isDue(served, 0), false);
    assert.equal(
      isDue({ ...served, served: 2, state: 'failed', retryAt: 0, paused: true }, 1),
      false,
    );
  });
});

describe('generationOf', () => {
  it('is the pinned one before the newest', () => {
    assert.equal(generationOf({ ...served, pinned: 2 }), 2);
    assert.equal(generationOf(served), 3);
  });
});

describe('backoffMs', () => {
  const wait = (failures: number, random: number) =>
    backoffMs(failures, random, LIMITS.backoffInitialMs, LIMITS.backoffCapMs);

  it('begins at the initial wait, grows, and ends at the cap', () => {
    assert.equal(wait(0, 0), LIMITS.backoffInitialMs);
    for (let failures = 0; failures < 7; failures += 1)
      assert.ok(wait(failures + 1, 0) > wait(failures, 0));
    assert.equal(wait(8, 0), LIMITS.backoffCapMs);
    assert.equal(wait(1_000_000, 0.999), LIMITS.backoffCapMs);
  });

  it('stays between the initial wait and the cap, in whole milliseconds, and spreads', () => {
    const random = seeded(3);
    for (let round = 0; round < 1000; round += 1) {
      const ms = wait(Math.floor(random() * 50), random());
      assert.ok(
        Number.isInteger(ms) && ms >= LIMITS.backoffInitialMs && ms <= LIMITS.backoffCapMs,
        `${ms}`,
      );
    }
    assert.equal(wait(1, 0.5) - wait(1, 0), (LIMITS.backoffInitialMs / 15) * 30);
  });

  it('scales with the initial wait', () => {
    assert.equal(backoffMs(2, 0.5, 150, 1e9) * 10, backoffMs(2, 0.5, 1500, 1e9));
  });
});

describe('transitions', () => {
  it('lead every replication from every state back to synced', () => {
    const states = ['pending', 'started', 'synced', 'failed', 'cancelled'] as const;
    for (const state of states)
      assert.ok(reachable(REPLICATION_TRANSITIONS, state).has('synced'), state);
    assert.deepEqual(
      [...reachable(REPLICATION_TRANSITIONS, 'pending')].toSorted(),
      [...states].toSorted(),
    );
  });

  it('lead every blob from every state back to synced', () => {
    const states = ['pending', 'started', 'synced', 'failed', 'pruning'] as const;
    for (const state of states) assert.ok(reachable(BLOB_TRANSITIONS, state).has('synced'), state);
    assert.deepEqual(
      [...reachable(BLOB_TRANSITIONS, 'pending')].toSorted(),
      [...states].toSorted(),
    );
  });

  it('sync only what was started', () => {
    const leadTo = (table: Record<string, { from: readonly string[]; to: string }>) =>
      Object.values(table)
        .filter((rule) => rule.to === 'synced')
        .flatMap((rule) => rule.from);

    assert.deepEqual(leadTo(REPLICATION_TRANSITIONS), ['started']);
    assert.deepEqual(leadTo(BLOB_TRANSITIONS), ['started']);
  });

  it('leave cancelled only by retry and by a newer generation', () => {
    const table: Record<string, { from: readonly string[] }> = REPLICATION_TRANSITIONS;
    const leaving = Object.entries(table)
      .filter(([, rule]) => rule.from.includes('cancelled'))
      .map(([name]) => name);

    assert.deepEqual(leaving.toSorted(), ['captured', 'retry']);
  });
});

function reachable(
  table: Readonly<Record<string, { readonly from: readonly string[]; readonly to: string }>>,
  start: string,
): Set<string> {
  const seen = new Set([start]);
  for (const state of seen)
    for (const rule of Object.values(table)) if (rule.from.includes(state)) seen.add(rule.to);
  return seen;
}
