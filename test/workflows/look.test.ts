import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { connectTemporal } from '../../src/temporal/connection.ts';
import { ensureSearchAttributes } from '../../src/temporal/search-attributes.ts';
import { sendDistributionChanged } from '../../src/temporal/signals.ts';
import { look } from '../../src/temporal/updates.ts';
import { workflowId } from '../../workflows/messages.ts';
import { refusesWith } from '../support/refuses-with.ts';
import { freshNamespace } from '../support/servers.ts';
import { eventually } from './eventually.ts';
import { startHarness, type Harness } from './harness.ts';

let h: Harness;
before(async () => void (h = await startHarness(['fra'])));
after(() => h.stop());

/** Waits until the workflow has accepted the Update. */
const accepted = (distribution: string): Promise<unknown> =>
  eventually('accepted', async () =>
    (await h.client.workflow.getHandle(workflowId(distribution)).fetchHistory()).events!.some(
      (event) => event.workflowExecutionUpdateAcceptedEventAttributes,
    ),
  );

test('a look as the first message starts the workflow and answers with its capture', async () => {
  h.world.add('first', ['fra']);

  const outcome = await look(h.client, 'first');

  assert.deepEqual(outcome, { outcome: 'captured', generation: 1 });
});

test('a look during loadRoster is answered', async () => {
  h.world.add('loading', ['fra']);
  const hold = h.world.hold('loadRoster', 'loading');
  await sendDistributionChanged(h.client, 'loading');
  await hold.reached;

  const looking = look(h.client, 'loading');
  await accepted('loading');
  hold.release();

  assert.equal((await looking).outcome, 'captured');
});

test('a look that arrives during a capture is answered by the next one', async () => {
  h.world.add('next', ['fra']);
  const hold = h.world.hold('captureSnapshot', 'next');
  await sendDistributionChanged(h.client, 'next');
  await hold.reached;
  h.world.release('next'); // behind the read of the capture that is held
  const looking = look(h.client, 'next');
  await accepted('next');

  hold.release();

  assert.deepEqual(await looking, { outcome: 'captured', generation: 2 });
});

test('a look whose three workers stop is answered by the next, and is no failure', async () => {
  h.world.add('stopping', ['fra']);
  for (let workers = 0; workers < 3; workers += 1) h.world.ignore('captureSnapshot', 'stopping');

  assert.deepEqual(await look(h.client, 'stopping'), { outcome: 'captured', generation: 1 });

  assert.equal(h.world.count('captureSnapshot', 'stopping'), 4);
  assert.equal(h.world.count('recordCaptureFailure', 'stopping'), 0);
});

test('a look that finds nothing new says so, and a refused one carries the report', async () => {
  h.world.add('outcomes', ['fra']);
  await look(h.client, 'outcomes');

  const nothing = await look(h.client, 'outcomes');
  h.world.fail('captureSnapshot', 'outcomes', null, 'RELEASE_ROLLBACK');
  const refused = await look(h.client, 'outcomes');

  assert.deepEqual(nothing, { outcome: 'unchanged', generation: 1 });
  assert.equal(refused.outcome, 'failed');
  assert.equal(refused.report?.code, 'RELEASE_ROLLBACK');
});

test('a look at a distribution that is not there is answered', async () => {
  assert.equal((await look(h.client, 'nowhere')).outcome, 'removed');
});

test('a look while the run drains to continue as new is answered by the next run', async () => {
  h.world.add('draining', ['fra'], { historyEventsMax: 25, drainMs: 1_000 });
  const hold = h.world.hold('syncBlobs', 'draining', 'fra');
  await sendDistributionChanged(h.client, 'draining');
  await hold.reached;
  const { runId } = await h.run('draining');

  h.world.release('draining');
  const outcomes = await Promise.all([look(h.client, 'draining'), look(h.client, 'draining')]);

  for (const { generation } of outcomes) assert.equal(generation, 2);
  await eventually('continued', async () => (await h.run('draining')).runId !== runId);
});

test('looks across many runs that continue as new are all answered', async () => {
  // A run has some 25 events when it answers its first look.
  h.world.add('renewing', [], { historyEventsMax: 40, gatherMs: 0 });
  const runs = new Set<string>();

  for (let looks = 0; looks < 8; looks += 1) {
    assert.equal((await look(h.client, 'renewing')).generation, 1);
    runs.add((await h.run('renewing')).runId);
  }

  assert.equal(runs.size > 1, true);
});

test('a look whose run is terminated is answered by the next run', async () => {
  h.world.add('killed', ['fra']);
  const hold = h.world.hold('captureSnapshot', 'killed');
  const looking = look(h.client, 'killed');
  await hold.reached;

  await h.client.workflow.getHandle(workflowId('killed')).terminate();

  assert.equal((await looking).outcome, 'captured');
});

test('without a worker a look is queued, and NO_WORKER says so', async () => {
  const client = await connectTemporal({ ...h.config, namespace: await freshNamespace() });
  try {
    await ensureSearchAttributes(client);

    await assert.rejects(look(client, 'alone', { workerMs: 400 }), refusesWith('NO_WORKER'));

    const { events } = await client.workflow.getHandle(workflowId('alone')).fetchHistory();
    assert.equal(
      events?.filter(
        (event) =>
          event.workflowExecutionSignaledEventAttributes?.signalName === 'distributionChanged',
      ).length,
      1,
    );
  } finally {
    await client.connection.close();
  }
});

for (const times of [1, 2])
  test(`a failed look is answered though its record is refused ${times} times`, async () => {
    const name = `refused-${times}`;
    h.world.add(name, []);
    await look(h.client, name);
    h.world.fail('captureSnapshot', name, null, 'SIGNATURE_MALFORMED');
    for (let refused = 0; refused < times; refused += 1)
      h.world.fail('recordCaptureFailure', name, null, 'DATABASE_REFUSED');

    const failed = await look(h.client, name);
    assert.deepEqual([failed.outcome, failed.report?.code], ['failed', 'SIGNATURE_MALFORMED']);
    h.world.release(name);
    assert.equal((await look(h.client, name)).outcome, 'captured');

    assert.equal(h.world.count('recordCaptureFailure', name), 2);
  });
