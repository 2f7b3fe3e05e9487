import assert from 'node:assert/strict';
import { AsyncResource } from 'node:async_hooks';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { sql } from 'kysely';

import { aPackage, inActivity, startLanes } from './lanes.ts';

test('a captured generation is copied, checksummed, verified, published and probed', async (t) => {
  const lanes = await startLanes(t);
  const generation = await lanes.capture([aPackage('hello', '1.0'), aPackage('lib+x~1', '2.0')]);

  const { row } = await lanes.replicate(generation);

  assert.equal(row.served, generation);
  assert.equal(row.state, 'synced');
  assert.equal(row.filesDone, row.filesTotal);
  assert.equal(row.bytesDone, row.bytesTotal);
});

test('a step that waits for a row that a capture holds heartbeats meanwhile', async (t) => {
  const lanes = await startLanes(t);
  const generation = await lanes.capture([aPackage('hello', '1.0')]);
  const { planSync } = lanes.activities();
  let heartbeats = 0;

  const outside = new AsyncResource('outside of the transaction below');
  const planned = await lanes.database.transaction(async (tx) => {
    await sql`select from debian_distributions for no key update`.execute(tx.kysely);
    const heartbeat = () => void (heartbeats += 1);
    const waiting = outside.runInAsyncScope(() =>
      inActivity(() => planSync({ distribution: 'bookworm', site: 'fra', generation }), {
        heartbeat,
      }),
    );
    const deadline = Date.now() + 10_000;
    while (heartbeats < 3 && Date.now() < deadline) await sleep(50);
    return { waiting };
  });
  const { row } = await planned.waiting;

  assert.ok(heartbeats >= 3);
  assert.equal(row.state, 'started');
});
