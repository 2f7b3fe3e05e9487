import assert from 'node:assert/strict';
import { test } from 'node:test';

import { cpuBetween, cpuSeconds } from '../../bench/processes.ts';

test('the CPU time of this process grows while it works', () => {
  const sum = (spent: Readonly<Record<string, number>>) =>
    Object.values(spent).reduce((all, one) => all + one, 0);
  const before = cpuSeconds();
  for (const end = process.cpuUsage().user + 300_000; process.cpuUsage().user < end;);
  assert.ok(sum(cpuBetween(before, cpuSeconds())) >= 0.2);
});

test('a role that spent nothing is left out', () => {
  assert.deepEqual(cpuBetween({ worker: 3, floor: 1 }, { worker: 4.5, floor: 1 }), { worker: 1.5 });
});
