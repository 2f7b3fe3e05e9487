/**
 * A worker of many sites: one poller per queue that rests. The server counts 1,200 polls at a time
 * per namespace, of all workers, and answers those beyond with an error.
 */
import { equal, ok } from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Runtime } from '@temporalio/worker';

import { freePort } from '../../src/stack/free-port.ts';
import { sendDistributionChanged } from '../../src/temporal/signals.ts';
import { eventually } from './eventually.ts';
import { startHarness } from './harness.ts';

const SITES = Array.from({ length: 200 }, (_, index) => `site-${index}`);

/** What the SDK counts, by `name{labels}`. */
async function metricsAt(address: string): Promise<readonly { line: string; value: number }[]> {
  const text = await (await fetch(`http://${address}/metrics`)).text();
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => ({ line, value: Number(line.slice(line.lastIndexOf(' ') + 1)) }));
}

test('a worker of 200 sites polls within the bounds of the server', async (t: TestContext) => {
  const address = `127.0.0.1:${await freePort(null, new Set())}`;
  // the first one of a process counts; runWorker finds it installed
  Runtime.install({ telemetryOptions: { metrics: { prometheus: { bindAddress: address } } } });
  const h = await startHarness(SITES);
  t.after(() => h.stop());
  const last = SITES.at(-1)!;
  h.world.add('wide', [last]);
  const sum = async (...words: readonly string[]): Promise<number> =>
    (await metricsAt(address))
      .filter(({ line }) => words.every((word) => line.includes(word)))
      .reduce((total, { value }) => total + value, 0);
  const pollers = (): Promise<number> => sum('temporal_num_pollers', 'activity_task');
  await eventually('every queue is polled', async () => (await pollers()) >= SITES.length, 90_000);

  await sendDistributionChanged(h.client, 'wide');
  await h.synced('wide', last);
  await sleep(2_000);

  const polling = await pollers();
  ok(polling < 2 * SITES.length, `${polling} pollers`);
  equal(await sum('long_request_failure', 'PollActivityTaskQueue'), 0);
});
