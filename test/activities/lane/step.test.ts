import assert from 'node:assert/strict';
import { AsyncResource } from 'node:async_hooks';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { sql } from 'kysely';

import { connectDatabase } from '../../../src/database/orm.ts';
import { startGate } from '../../support/gate.ts';
import { aPackage, inActivity, startLanes, type Lanes } from './lanes.ts';

test('a captured generation is copied, checksummed, verified, published and probed', async (t) => {
  const lanes = await startLanes(t);
  const generation = await lanes.capture([aPackage('hello', '1.0'), aPackage('lib+x~1', '2.0')]);

  const { row } = await lanes.replicate(generation);

  assert.equal(row.served, generation);
  assert.equal(row.state, 'synced');
  assert.equal(row.filesDone, row.filesTotal);
  assert.equal(row.bytesDone, row.bytesTotal);
});

test('an activity that ends within a second has no heartbeat', async (t) => {
  const lanes = await startLanes(t);
  const generation = await lanes.capture([aPackage('hello', '1.0')]);
  const { syncBlobs, verifySnapshot } = lanes.activities();
  const input = { distribution: 'bookworm', site: 'fra', generation };
  await inActivity(() => syncBlobs({ ...input, plan: true }));
  const heartbeats: number[] = [];
  const began = Date.now();

  await inActivity(() => verifySnapshot(input), {
    heartbeat: () => void heartbeats.push(Date.now() - began),
  });

  assert.ok(
    heartbeats.every((at) => at >= 1_000),
    heartbeats.join(),
  );
});

test('a plan waits for a database that is away, and the lane does not fail', async (t) => {
  const lanes = await startLanes(t);
  const generation = await lanes.capture([aPackage('hello', '1.0')]);
  const gate = await startGate(lanes.database.orm.config.get('clientUrl')!);
  const database = await connectDatabase(gate.url);
  t.after(() => database.close().then(() => gate.close()));
  const { syncBlobs } = lanes.activities({ database });
  const input = { distribution: 'bookworm', site: 'fra', generation, plan: true };

  await gate.shut();
  const away = await inActivity(() => syncBlobs(input));
  await gate.open();
  const back = await inActivity(() => syncBlobs(input));

  assert.deepEqual(away, { more: true, repair: 0 });
  assert.deepEqual(
    [back.more, back.planned, back.row?.filesDone],
    [false, true, back.row?.filesTotal],
  );
});

/** Begins something while a capture holds the row of its distribution, and waits for heartbeats. */
async function beginWhileHeld<T>(
  lanes: Lanes,
  begin: () => Promise<T>,
): Promise<{ answer: T; heartbeats: number }> {
  let heartbeats = 0;
  const outside = new AsyncResource('outside of the transaction below');
  const { waiting } = await lanes.database.transaction(async (tx) => {
    await sql`select from debian_distributions for no key update`.execute(tx.kysely);
    const heartbeat = () => void (heartbeats += 1);
    const begun = outside.runInAsyncScope(() => inActivity(begin, { heartbeat }));
    const deadline = Date.now() + 10_000;
    while (heartbeats < 3 && Date.now() < deadline) await sleep(50);
    return { waiting: begun };
  });
  return { answer: await waiting, heartbeats };
}

test('a step that waits for a row that a capture holds heartbeats meanwhile', async (t) => {
  const lanes = await startLanes(t);
  const generation = await lanes.capture([aPackage('hello', '1.0')]);
  const { planSync } = lanes.activities();

  const { answer, heartbeats } = await beginWhileHeld(lanes, () =>
    planSync({ distribution: 'bookworm', site: 'fra', generation }),
  );

  assert.ok(heartbeats >= 3);
  assert.equal(answer.row.state, 'started');
});

test('a command that waits for a row that a capture holds heartbeats meanwhile', async (t) => {
  const lanes = await startLanes(t);
  await lanes.capture([aPackage('hello', '1.0')]);
  const { applyOrder } = lanes.activities();

  const { answer, heartbeats } = await beginWhileHeld(lanes, () =>
    applyOrder({ distribution: 'bookworm', site: 'fra', paused: true }),
  );

  assert.ok(heartbeats >= 3);
  assert.equal(answer?.paused, true);
});
