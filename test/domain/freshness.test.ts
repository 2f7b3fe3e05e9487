import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { judgeAge, judgeFreshness } from '../../src/domain/freshness.ts';
import { refusesWith } from '../support/refuses-with.ts';

const NOW = new Date('2024-02-10T12:00:00Z');
const after = (ms: number) => new Date(NOW.getTime() + ms);
const strict: Parameters<typeof judgeFreshness>[3] = { acceptUndated: false };
const judge = (
  date: Date | null,
  validUntil: Date | null = null,
  newest: { date: Date | null } | null = null,
  policy = strict,
) => judgeFreshness({ date, validUntil }, newest, NOW, policy);

describe('judgeFreshness', () => {
  it('accepts a Release of now, with or without Valid-Until', () => {
    judge(NOW);
    judge(after(-1), after(1));
  });

  it('accepts Valid-Until up to its very second, and refuses it after', () => {
    judge(after(-10), NOW);
    assert.throws(() => judge(after(-10), after(-1)), refusesWith('RELEASE_EXPIRED'));
  });

  it('accepts clocks that differ by 10 s, and refuses more', () => {
    judge(after(10_000));
    assert.throws(() => judge(after(10_001)), refusesWith('RELEASE_FUTURE'));
  });

  it('accepts the same Date again, and refuses an older one', () => {
    const newest = { date: after(-5000) };

    judge(after(-5000), null, newest);
    judge(after(-4000), null, newest);
    assert.throws(() => judge(after(-6000), null, newest), refusesWith('RELEASE_ROLLBACK'));
  });

  it('says rollback of an old and expired Release, and expired of one that is only that', () => {
    assert.throws(
      () => judge(after(-6000), after(-1), { date: after(-5000) }),
      refusesWith('RELEASE_ROLLBACK'),
    );
    assert.throws(
      () => judge(after(-5000), after(-1), { date: after(-5000) }),
      refusesWith('RELEASE_EXPIRED'),
    );
  });

  it('refuses a Release without Date unless that is configured', () => {
    assert.throws(() => judge(null), refusesWith('RELEASE_UNDATED'));
    judge(null, null, { date: NOW }, { acceptUndated: true });
    assert.throws(
      () => judge(null, after(-1), null, { acceptUndated: true }),
      refusesWith('RELEASE_EXPIRED'),
    );
  });

  it('takes an older Date where that is accepted, and nothing else with it', () => {
    judge(after(-2), null, { date: after(-1) }, { acceptUndated: false, acceptOlder: true });
    assert.throws(
      () =>
        judge(
          after(-2),
          after(-1),
          { date: after(-1) },
          { acceptUndated: false, acceptOlder: true },
        ),
      refusesWith('RELEASE_EXPIRED'),
    );
    assert.throws(
      () => judge(null, null, { date: after(-1) }, { acceptUndated: false, acceptOlder: true }),
      refusesWith('RELEASE_UNDATED'),
    );
  });

  it('accepts a first Date after none', () => {
    judge(after(-1), null, { date: null });
  });
});

describe('judgeAge', () => {
  it('says RELEASE_STALE of a release that is older than its distribution allows', () => {
    assert.equal(judgeAge(after(-60_000), 60_000, NOW), null);
    assert.equal(judgeAge(after(-60_001), 60_000, NOW)?.code, 'RELEASE_STALE');
    assert.equal(judgeAge(new Date(0), null, NOW), null);
  });
});
