/** Signals as they come: with unreadable arguments, and for sites that have no lane yet. */
import { deepEqual, equal } from 'node:assert/strict';
import { after, before, test } from 'node:test';

import type { Payload } from '@temporalio/common';

import { sendCommand, sendDistributionChanged, sendVerify } from '../../src/temporal/signals.ts';
import { look } from '../../src/temporal/updates.ts';
import { workflowId } from '../../workflows/messages.ts';
import { eventually } from './eventually.ts';
import { startHarness, type Harness } from './harness.ts';
import { siteQueue } from './scripted-rows.ts';

let h: Harness;
before(async () => void (h = await startHarness(['fra', 'sin'])));
after(() => h.stop());

/** As a client with another converter sends it. */
async function signalRaw(name: string, signalName: string, ...payloads: Payload[]): Promise<void> {
  await h.client.workflowService.signalWorkflowExecution({
    namespace: h.client.options.namespace,
    workflowExecution: { workflowId: workflowId(name) },
    signalName,
    input: { payloads },
  });
}

const payload = (encoding: string, data: string | Uint8Array): Payload => ({
  metadata: { encoding: Buffer.from(encoding) },
  data: Buffer.from(data),
});

/** What stops a workflow that walks through it: arrays within arrays. */
const DEEP = `{"site":${'['.repeat(500_000)}${']'.repeat(500_000)}}`;

test('no signal stops a workflow, whatever its encoding, argument or name', async () => {
  h.world.add('unreadable', ['fra']);
  const hold = h.world.hold('syncBlobs', 'unreadable', 'fra');
  await sendDistributionChanged(h.client, 'unreadable');
  await hold.reached;

  for (const hostile of [
    payload('json/protobuf', '{"site":"fra"}'),
    payload('binary/encrypted', 'x'),
    payload('json/plain', '{"site":'),
    payload('json/plain', DEEP),
    payload('json/plain', JSON.stringify('x'.repeat(1_000_000))),
    payload('binary/plain', ''),
    { data: Buffer.from('null') },
  ])
    await signalRaw('unreadable', 'pause', hostile);
  await signalRaw('unreadable', '__temporal_x');
  await signalRaw('unreadable', 'x'.repeat(900), payload('json/plain', DEEP));
  hold.release();
  await h.synced('unreadable', 'fra');

  h.world.release('unreadable');
  equal((await look(h.client, 'unreadable')).outcome, 'captured');
  equal(h.world.count('applyOrder', 'unreadable'), 0);
});

test('a command for a site whose lane is about to open is applied when it opens', async () => {
  h.world.add('early', ['fra']);
  await sendDistributionChanged(h.client, 'early');
  await h.synced('early', 'fra');
  const hold = h.world.hold('captureSnapshot', 'early');
  h.world.addSite('early', 'sin');
  await sendDistributionChanged(h.client, 'early');
  await hold.reached;

  await sendCommand(h.client, 'pause', 'early', 'sin');
  await sendCommand(h.client, 'cancel', 'early', 'nowhere');
  hold.release();
  await eventually('paused', () => h.world.row('early', 'sin').paused);
  equal(h.world.count('syncBlobs', 'early', 'sin'), 0);

  await sendCommand(h.client, 'resume', 'early', 'sin');
  await h.synced('early', 'sin');
  h.world.addSite('early', 'nowhere', siteQueue('fra'));
  await look(h.client, 'early');
  await h.synced('early', 'nowhere'); // its command was given up with the look before
});

test('a verify for a site that the workflow has not seen yet is answered', async () => {
  h.world.add('unseen', ['fra']);
  await sendDistributionChanged(h.client, 'unseen');
  await h.synced('unseen', 'fra');
  h.world.addSite('unseen', 'sin'); // the signal of `apply` was lost

  await sendVerify(h.client, 'unseen', 'sin');

  await eventually('asked', () => h.world.count('applyOrder', 'unseen', 'sin') === 1);
  await h.synced('unseen', 'sin');
});

test('a command for all sites reaches the one whose lane opens with the look in work', async () => {
  h.world.add('all', ['fra']);
  await sendDistributionChanged(h.client, 'all');
  await h.synced('all', 'fra');
  const hold = h.world.hold('captureSnapshot', 'all');
  h.world.addSite('all', 'sin');
  await sendDistributionChanged(h.client, 'all');
  await hold.reached;

  await sendCommand(h.client, 'pause', 'all');
  hold.release();
  await eventually('paused', () => h.world.row('all', 'sin').paused);
  await sendCommand(h.client, 'resume', 'all');
  await h.synced('all', 'fra', 'sin');

  h.world.addSite('all', 'late', siteQueue('fra'));
  await look(h.client, 'all');
  await h.synced('all', 'late');
  deepEqual(h.world.count('applyOrder', 'all', 'late'), 0);
});

test('a site that is moved to another worker group goes on there at once', async () => {
  h.world.add('moved', []);
  h.world.addSite('moved', 'fra', siteQueue('nobody-polls-this'));
  await sendDistributionChanged(h.client, 'moved');
  await eventually('it waits there', async () => {
    const { raw } = await h.client.workflow.getHandle(workflowId('moved')).describe();
    const names = raw.pendingActivities?.map(({ activityType }) => activityType?.name) ?? [];
    return names.includes('syncBlobs');
  });

  h.world.change('moved', 'fra', { queue: siteQueue('fra') });
  await look(h.client, 'moved');

  await h.synced('moved', 'fra');
});
