import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { LIMITS as REAL } from '../../src/domain/limits.ts';
import { parseRepoPath } from '../../src/domain/repo-path.ts';
import { createAzureSiteStore } from '../../src/site/azure-site-store.ts';
import { Pace } from '../../src/site/pace.ts';
import { startAzuriteSite, type AzuriteSite } from './azurite-site.ts';
import { contentOf } from './store-under-test.ts';

const NEVER = new AbortController().signal;
const LIMITS = {
  widthMin: 1,
  widthStart: 4,
  widthMax: 16,
  throttlePatienceMs: 3_000,
};

describe('Pace', () => {
  it('runs as many operations as its width, in the order in which they came', async () => {
    const pace = new Pace(LIMITS);
    const { begun, end, operation } = operations();
    const all = [1, 2, 3, 4, 5, 6].map((number) => pace.run('all', NEVER, operation(number)));

    await settled();
    assert.deepEqual(begun, [1, 2, 3, 4]);
    end(2);
    await settled();
    assert.deepEqual(begun, [1, 2, 3, 4, 5]);
    for (const number of [1, 3, 4, 5, 6]) {
      end(number);
      await settled();
    }
    await Promise.all(all);
  });

  it('gives its turns to the queues in turn, however long one of them is', async () => {
    const pace = new Pace({ ...LIMITS, widthStart: 1 });
    const { begun, end, operation } = operations();
    const long = [1, 2, 3, 4].map((number) => pace.run('long', NEVER, operation(number)));
    const short = [11, 12].map((number) => pace.run('short', NEVER, operation(number)));
    const other = pace.run('other', NEVER, operation(21));

    for (const number of [1, 2, 11, 21, 3, 12, 4]) {
      await settled();
      assert.equal(begun.at(-1), number);
      end(number);
    }
    await Promise.all([...long, ...short, other]);
  });

  it('lets go an operation that ends while it waits, and gives the turn to the next', async () => {
    const pace = new Pace({ ...LIMITS, widthStart: 1 });
    const { begun, end, operation } = operations();
    const stop = new AbortController();
    const first = pace.run('all', NEVER, operation(1));
    const second = pace.run('all', stop.signal, operation(2));
    const third = pace.run('all', NEVER, operation(3));

    stop.abort(new Error('cancelled'));
    await assert.rejects(second, /cancelled/);
    end(1);
    await settled();

    assert.deepEqual(begun, [1, 3]);
    end(3);
    await Promise.all([first, third]);
  });

  it('gives the turn on when an operation fails', async () => {
    const pace = new Pace({ ...LIMITS, widthStart: 1 });
    const failing = pace.run('all', NEVER, () => Promise.reject(new Error('no')));
    const next = pace.run('all', NEVER, () => Promise.resolve('done'));

    await assert.rejects(failing, /no/);
    assert.equal(await next, 'done');
  });

  it('halves its width once for a volley of refusals, down to its least', () => {
    const pace = new Pace(LIMITS);
    const sentAt = performance.now();

    for (const _ of [1, 2, 3]) pace.slowDown(0, sentAt, sentAt);
    assert.equal(pace.width, 2);
    for (const _ of [1, 2, 3]) pace.slowDown(0, performance.now() + 1, sentAt);
    assert.equal(pace.width, 1);
  });

  it('comes back to its usual width after refusals, also under a byte rate', async (t) => {
    let now = 1_000_000;
    t.mock.method(performance, 'now', () => now);
    const pace = new Pace(LIMITS);
    pace.limitTo(1_000_000_000);
    for (const _ of [1, 2]) pace.slowDown(0, (now += 1), now);
    assert.equal(pace.width, 1);

    let left = 400;
    const callers = Array.from({ length: 8 }, async () => {
      while (left > 0)
        await pace.run('all', NEVER, () => {
          left -= 1;
          now += 600;
          return Promise.resolve();
        });
    });
    await Promise.all(callers);

    assert.equal(pace.width, LIMITS.widthStart);
  });

  it('waits for a short time that a site asks for, and leaves a long one to the lane', async () => {
    const pace = new Pace(LIMITS);
    const now = performance.now();

    assert.equal(pace.slowDown(4_000, now, now), false);
    await pace.waitOutThrottle(NEVER);
    assert.ok(performance.now() - now < 3_000, 'no operation waits for what the lane waits for');
    assert.equal(pace.slowDown(200, now, now), true);
    await pace.waitOutThrottle(NEVER);
    assert.ok(performance.now() - now >= 199);
    assert.equal(pace.slowDown(200, now, now - 2_900), false, 'the patience of an operation ends');
  });

  it('grows while throughput grows with it, and goes back when it does not', async () => {
    const knee = 8;
    const pace = new Pace({ ...LIMITS, widthMax: 64 });
    const seen = new Set<number>();
    const stop = new AbortController();
    let running = 0;
    const work = async (): Promise<void> => {
      running += 1;
      // Beyond the knee each operation takes longer, as at a site that has no more to give.
      await sleep(10 * Math.max(1, running / knee));
      running -= 1;
    };
    const callers = Array.from({ length: 80 }, async () => {
      while (!stop.signal.aborted) await pace.run('all', NEVER, work);
    });

    const deadline = performance.now() + 20_000;
    while (
      !(seen.size > 2 && seen.has(pace.width) && Math.max(...seen) > pace.width) &&
      performance.now() < deadline
    ) {
      seen.add(pace.width);
      await sleep(50);
    }
    stop.abort();
    await Promise.all(callers);

    assert.ok(Math.max(...seen) > 4, 'it grew');
    assert.ok(pace.width < 40, `it stopped growing: ${pace.width}`);
  });
});

describe('Pace before an Azurite', () => {
  let site: AzuriteSite;
  before(async () => {
    site = await startAzuriteSite();
  });
  after(() => site.stop());

  it('keeps a byte rate within 5 percent, both ways together, whatever the sizes', async () => {
    const container = await site.container();
    const pace = new Pace(REAL);
    const place = {
      name: 'fra',
      accountUrl: site.accountUrl,
      container: container.containerName,
      prefix: '',
    };
    const store = createAzureSiteStore(place, site.credential, REAL, { pace });
    const rate = 5_000_000;
    const sizes = [...Array(150).keys()].map((at) => (at % 30 === 0 ? 500_000 : 5_000 + at * 37));
    const bytes = 2 * sizes.reduce((sum, size) => sum + size, 0);

    pace.limitTo(rate);
    const from = performance.now();
    await Promise.all(
      sizes.map(async (size, at) => {
        const path = parseRepoPath(`debian/pool/${at}`);
        await store.put(path, contentOf(randomBytes(size)), 'nothing', NEVER);
        await store.checksum(path, NEVER);
      }),
    );
    const seen = bytes / ((performance.now() - from) / 1000);

    assert.ok(seen <= rate * 1.05, `${seen} bytes a second of ${rate}`);
  });
});

function operations() {
  const begun: number[] = [];
  const ends = new Map<number, () => void>();
  return {
    begun,
    end: (number: number) => ends.get(number)?.(),
    operation: (number: number) => () =>
      new Promise<void>((resolve) => {
        begun.push(number);
        ends.set(number, resolve);
      }),
  };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
