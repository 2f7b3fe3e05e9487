import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Watchdog } from '../../src/site/watchdog.ts';

const PATIENCE = { stallMs: 1_000, bytesPerSecondMin: 1_000 };

for (const [when, isOver] of [
  ['bites a silent one', false],
  ['is not woken again when its request is over', true],
] as const) {
  test(when, (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const watchdog = new Watchdog(new AbortController().signal, PATIENCE, 0);
    watchdog.wait();
    if (isOver) watchdog.end();

    watchdog.wait();
    t.mock.timers.tick(10_000);

    assert.equal(watchdog.stalled, !isOver);
    assert.equal(watchdog.signal.aborted, !isOver);
  });
}
