import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';

import { queryStatus } from '../../src/temporal/describe.ts';
import { reconcile } from '../../src/temporal/reconcile.ts';
import { sendCommand, sendDistributionChanged } from '../../src/temporal/signals.ts';
import { look } from '../../src/temporal/updates.ts';
import { workflowId } from '../../workflows/messages.ts';
import { eventually } from './eventually.ts';
import { startHarness, wanted, type Harness } from './harness.ts';
import { coded } from './scripted-rows.ts';

let h: Harness;
before(async () => void (h = await startHarness(['fra', 'sin'])));
after(() => h.stop());

test('200 changes cause a few captures, and the last change is captured', async () => {
  h.world.add('burst', ['fra'], { gatherMs: 300 });
  await sendDistributionChanged(h.client, 'burst');
  await h.synced('burst', 'fra');

  await Promise.all(Array.from({ length: 199 }, () => sendDistributionChanged(h.client, 'burst')));
  h.world.release('burst');
  await sendDistributionChanged(h.client, 'burst');
  await eventually('the last change is captured', () => h.world.row('burst', 'fra').target === 2);

  assert.ok(
    h.world.count('captureSnapshot', 'burst') <= 20,
    `${h.world.count('captureSnapshot', 'burst')} captures`,
  );
});

test('an archive is looked at again when its poll is due', async () => {
  h.world.add('poll', ['fra']);
  h.world.pollMs = 300;
  await sendDistributionChanged(h.client, 'poll');
  await h.synced('poll', 'fra');

  h.world.release('poll');
  await eventually('captured by a poll', () => h.world.row('poll', 'fra').target === 2);
  h.world.pollMs = 3_600_000;

  await h.synced('poll', 'fra');
});

test('a database whose clock is behind makes no busy loop at the archive', async () => {
  h.world.add('behind', []);
  h.world.clockMs = -15_000;
  h.world.pollMs = 1_000;
  await sendDistributionChanged(h.client, 'behind');
  await eventually('looked', () => h.world.count('captureSnapshot', 'behind') === 1);
  const began = Date.now();

  await eventually('polled', () => h.world.count('captureSnapshot', 'behind') >= 4);
  const took = Date.now() - began;
  h.world.clockMs = 0;
  h.world.pollMs = 3_600_000;

  assert.ok(took >= 2_900, `three polls of a second each took ${took} ms`);
});

test('a refused release is recorded, lanes go on, and the next look comes by itself', async () => {
  h.world.add('refused', ['fra']);
  const hold = h.world.hold('syncBlobs', 'refused', 'fra');
  await sendDistributionChanged(h.client, 'refused');
  await hold.reached;
  h.world.fail('captureSnapshot', 'refused', null, 'SIGNATURE_INVALID');
  h.world.release('refused');

  await sendDistributionChanged(h.client, 'refused');
  await eventually('recorded', () => h.world.count('recordCaptureFailure', 'refused') === 1);
  hold.release();
  await h.synced('refused', 'fra');

  await eventually('the next look takes it', () => h.world.row('refused', 'fra').served === 2);
});

test('a terminated run loses nothing: the next one goes on', async () => {
  h.world.add('terminate', ['fra', 'sin']);
  const hold = h.world.hold('syncBlobs', 'terminate', 'fra');
  await sendDistributionChanged(h.client, 'terminate');
  await hold.reached;
  await h.synced('terminate', 'sin');
  const { runId } = await h.run('terminate');

  await h.client.workflow.getHandle(workflowId('terminate')).terminate();
  await reconcile(h.client, wanted('terminate'));
  await h.synced('terminate', 'fra');

  assert.notEqual((await h.run('terminate')).runId, runId);
  assert.equal(h.world.copied('terminate', 'sin'), h.world.slices);
});

test('a full run continues as new, and carries over a command that is not committed', async () => {
  h.world.add('renew', ['fra', 'sin'], { historyEventsMax: 110, drainMs: 300 });
  const hold = h.world.hold('syncBlobs', 'renew', 'sin');
  await sendDistributionChanged(h.client, 'renew');
  await hold.reached;
  await h.synced('renew', 'fra');
  const { runId } = await h.run('renew');
  // waits for the end of the slice, which does not come
  await sendCommand(h.client, 'pause', 'renew', 'sin');

  for (let generation = 2; (await h.run('renew')).runId === runId; generation += 1) {
    h.world.release('renew');
    await look(h.client, 'renew');
  }
  await h.synced('renew', 'fra');
  await eventually('sin is paused', () => h.world.row('renew', 'sin').paused);
  await sendCommand(h.client, 'resume', 'renew', 'sin');
  await h.synced('renew', 'sin');

  assert.equal((await h.run('renew')).status, 'RUNNING');
  const renewed = await h.client.workflow.getHandle(workflowId('renew')).describe();
  assert.match(String(renewed.memo?.['runbook']), /docs\/operating\.md/);
  assert.equal(h.world.count('recordFailure', 'renew'), 0);
});

test('a signal sent by hand stops no workflow; a malformed one changes nothing', async () => {
  h.world.add('hostile', ['fra']);
  const hold = h.world.hold('syncBlobs', 'hostile', 'fra');
  await sendDistributionChanged(h.client, 'hostile');
  await hold.reached;
  const handle = h.client.workflow.getHandle(workflowId('hostile'));

  await handle.signal('reboot', { now: true });
  await handle.signal('toString');
  for (const argument of [
    'fra',
    7,
    true,
    [],
    ['fra'],
    { site: 7 },
    { sites: ['fra'] },
    { site: 'nowhere' },
    { site: 'fra', generation: 3 },
  ])
    await handle.signal('cancel', argument);
  await handle.signal('distributionChanged', { anything: 1 });
  await eventually(
    'the last one was received',
    () => h.world.count('captureSnapshot', 'hostile') === 2,
  );
  hold.release();
  await h.synced('hostile', 'fra');

  assert.equal(h.world.count('applyOrder', 'hostile'), 0);
});

test('a signal without input, as the Temporal UI sends it, means all sites', async () => {
  h.world.add('by-hand', ['fra', 'sin']);
  await sendDistributionChanged(h.client, 'by-hand');
  await h.synced('by-hand', 'fra', 'sin');

  await h.client.workflow.getHandle(workflowId('by-hand')).signal('pause');
  await eventually(
    'both are paused',
    () => h.world.row('by-hand', 'fra').paused && h.world.row('by-hand', 'sin').paused,
  );
  await h.client.workflow.getHandle(workflowId('by-hand')).signal('resume', null);

  await eventually(
    'both go on',
    () => !h.world.row('by-hand', 'fra').paused && !h.world.row('by-hand', 'sin').paused,
  );
});

test('the workflow of a removed distribution ends; applied again, it starts anew', async () => {
  h.world.add('removed', ['fra']);
  await sendDistributionChanged(h.client, 'removed');
  await h.synced('removed', 'fra');

  h.world.remove('removed');
  await sendDistributionChanged(h.client, 'removed');
  await eventually('completed', async () => (await h.run('removed')).status === 'COMPLETED');
  h.world.add('removed', ['fra']);
  await sendDistributionChanged(h.client, 'removed');

  await h.synced('removed', 'fra');
});

test('a distribution that is applied again while its run ends is not forgotten', async () => {
  h.world.add('again', ['fra']);
  h.world.remove('again');
  const hold = h.world.hold('loadRoster', 'again');
  await sendDistributionChanged(h.client, 'again');
  await hold.reached;
  h.world.add('again', ['fra']);

  await sendDistributionChanged(h.client, 'again');
  hold.release();

  await h.synced('again', 'fra');
});

test('a workflow that is cancelled from outside leaves no row that says started', async () => {
  h.world.add('outside', ['fra', 'sin']);
  const hold = h.world.hold('syncBlobs', 'outside', 'fra');
  await sendDistributionChanged(h.client, 'outside');
  await hold.reached;
  await h.synced('outside', 'sin');

  await h.client.workflow.getHandle(workflowId('outside')).cancel();
  await eventually('cancelled', async () => (await h.run('outside')).status === 'CANCELLED');

  assert.equal(h.world.row('outside', 'fra').state, 'cancelled');
  await reconcile(h.client, wanted('outside'));
  await eventually('it runs again', async () => (await h.run('outside')).status === 'RUNNING');
  await sendCommand(h.client, 'retry', 'outside', 'fra');
  await h.synced('outside', 'fra');
});

test('a run that is reset goes on with the rows as they are: nothing is parked', async () => {
  h.world.add('reset', ['fra']);
  await sendDistributionChanged(h.client, 'reset');
  await h.synced('reset', 'fra');
  h.world.release('reset');
  await look(h.client, 'reset');
  await h.synced('reset', 'fra');
  const handle = h.client.workflow.getHandle(workflowId('reset'));
  const { runId } = await h.run('reset');
  const { events = [] } = await handle.fetchHistory();
  const planned = events!.findIndex(
    (event) => event.activityTaskScheduledEventAttributes?.activityType?.name === 'syncBlobs',
  );
  const before = events!
    .slice(0, planned)
    .findLast((event) => event.workflowTaskCompletedEventAttributes);
  const calls = h.world.calls.length;

  await h.client.workflowService.resetWorkflowExecution({
    namespace: h.config.namespace,
    workflowExecution: { workflowId: workflowId('reset'), runId },
    reason: 'an operator did so',
    requestId: randomUUID(),
    workflowTaskFinishEventId: before!.eventId!,
  });
  await eventually('the step of generation 1 is given again', () =>
    h.world.calls
      .slice(calls)
      .some((call) => call.distribution === 'reset' && call.activity === 'syncBlobs'),
  );
  h.world.release('reset');
  await look(h.client, 'reset');
  await h.synced('reset', 'fra');

  assert.notEqual((await h.run('reset')).runId, runId);
  assert.equal(h.world.row('reset', 'fra').served, 3);
  assert.equal(h.world.count('recordFailure', 'reset'), 0);
  assert.deepEqual(
    h.world.calls
      .filter((call) => call.distribution === 'reset' && call.activity === 'publishSnapshot')
      .map((call) => call.generation),
    [1, 2, 3],
  );
});

test('a run whose bookkeeping fails for good ends, and is started again', async () => {
  h.world.add('broken', ['fra']);
  h.world.fail(
    'applyOrder',
    'broken',
    'fra',
    coded({ code: 'SCHEMA_OUTDATED', message: 'scripted' }),
  );
  await sendDistributionChanged(h.client, 'broken');
  await h.synced('broken', 'fra');

  await sendCommand(h.client, 'pause', 'broken');
  await eventually('the run failed', async () => (await h.run('broken')).status === 'FAILED');
  h.world.release('broken');
  await reconcile(h.client, wanted('broken'));

  await eventually('the next run goes on', () => h.world.row('broken', 'fra').served === 2);
});

test('the Temporal UI tells the story: summaries, details, search attributes', async () => {
  h.world.add('story', ['fra', 'sin']);
  h.world.fail('syncBlobs', 'story', 'sin', 'PATH_CONFLICT');
  await sendDistributionChanged(h.client, 'story');
  await h.synced('story', 'fra');
  await eventually('parked', () => h.world.row('story', 'sin').state === 'failed');
  const handle = h.client.workflow.getHandle(workflowId('story'));

  await eventually(
    'found by FailedSites',
    async () =>
      (
        await h.client.workflow.count(
          `FailedSites = "sin" and LaggingSites = "sin" and ReplicationState = "failed"`,
        )
      ).count === 1,
  );
  const { events } = await handle.fetchHistory();
  const bare = (events ?? []).filter(
    (event) =>
      (event.activityTaskScheduledEventAttributes ?? event.timerStartedEventAttributes) &&
      !event.userMetadata?.summary,
  );
  const metadata = await handle.query<{ currentDetails?: string }>('__temporal_workflow_metadata');

  assert.equal(bare.length, 0);
  const [headline, wrong, archive, , , , first] = metadata.currentDetails?.split('\n') ?? [];
  assert.equal(headline, '**story**: failed, newest generation 1');
  assert.equal(wrong, 'Of 2 sites: 1 waiting for a person');
  assert.match(archive!, /^The last look at https:\S+ was fine; the next one: [-\d]+ [:\d]+ UTC$/);
  assert.match(first!, /^\| sin .* PATH_CONFLICT \|$/);
  const description = await handle.describe();
  assert.match(String(description.memo?.['archive']), /^https:/);
  assert.match((await description.staticDetails()) ?? '', /docs\/operating\.md/);
  const known = await queryStatus(h.client, 'story');
  assert.deepEqual(known?.replications, [h.world.row('story', 'fra'), h.world.row('story', 'sin')]);
  assert.equal(known?.status, 'failed');
});
