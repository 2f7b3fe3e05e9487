import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { reconcile } from '../../src/temporal/reconcile.ts';
import { askPrune } from '../../src/temporal/updates.ts';
import { pruneNow, siteWorkflowId } from '../../workflows/messages.ts';
import { eventually } from './eventually.ts';
import { startHarness, type Harness } from './harness.ts';
import { type ActivityName } from './stand-ins.ts';

let h: Harness;
before(async () => {
  h = await startHarness(['fra', 'sin', 'ams', 'gru', 'nrt', 'syd']);
});
after(() => h.stop());

const RUN: readonly ActivityName[] = ['planPrune', 'pruneBlobs', 'pruneBlobs', 'pruneCatalog'];
const steps = (site: string) => h.world.steps('', site).filter((step) => step !== 'loadPrune');

test('a site is pruned when its prune is due, slice by slice, and again', async () => {
  h.world.addPruned('fra');
  h.world.pruned('fra', { nextAt: Date.now() + 300 });
  await reconcile(h.client, [], ['fra']);
  await eventually('pruned', () => h.world.pruned('fra').endedAt !== null);
  assert.deepEqual(steps('fra'), RUN);

  await eventually('the next run waits', () => h.world.count('loadPrune', '', 'fra') === 2);
  assert.deepEqual(steps('fra'), RUN);
  await h.client.workflow.getHandle(siteWorkflowId('fra')).signal(pruneNow);
  await eventually('pruned again', () => steps('fra').length === 2 * RUN.length);
});

test('an Update is answered by a prune that began after it arrived', async () => {
  h.world.addPruned('sin', 1);
  const hold = h.world.hold('planPrune', '', 'sin');
  const first = askPrune(h.client, 'sin');
  await hold.reached;
  const second = askPrune(h.client, 'sin');
  const asked = h.client.workflow.getHandle(siteWorkflowId('sin'));
  await eventually(
    'the second has arrived',
    async () =>
      (await asked.fetchHistory()).events!.filter(
        (event) => event.workflowExecutionUpdateAcceptedEventAttributes,
      ).length === 2,
  );
  hold.release();

  assert.deepEqual([(await first).outcome, (await second).outcome], ['pruned', 'pruned']);
  assert.equal(h.world.count('planPrune', '', 'sin'), 2);
});

test('a prune of an unreachable site is recorded, and tried again by itself', async () => {
  h.world.addPruned('ams', 1);
  h.world.fail('pruneBlobs', '', 'ams', 'SITE_UNREACHABLE');

  const { outcome, report } = await askPrune(h.client, 'ams');

  assert.deepEqual([outcome, report?.code], ['failed', 'SITE_UNREACHABLE']);
  await eventually('pruned by itself', () => h.world.pruned('ams').endedAt !== null);
  assert.equal(h.world.count('pruneCatalog', '', 'ams'), 1);
});

test('a slice waits for a worker of the site for less than two hours', async () => {
  const { events } = await h.client.workflow.getHandle(siteWorkflowId('ams')).fetchHistory();
  const first = h.client.workflow.getHandle(
    siteWorkflowId('ams'),
    events![0]!.workflowExecutionStartedEventAttributes!.firstExecutionRunId!,
  );
  const scheduled = (await first.fetchHistory()).events!.flatMap(
    (event) => event.activityTaskScheduledEventAttributes ?? [],
  );
  const atSite = scheduled.filter(({ activityType }) => activityType!.name === 'pruneBlobs');

  assert.equal(atSite.length, 1);
  for (const { scheduleToStartTimeout } of atSite)
    assert.ok(
      Number(scheduleToStartTimeout?.seconds) > 0 &&
        Number(scheduleToStartTimeout?.seconds) < 2 * 3_600,
    );
});

test('a refused prune deletes nothing', async () => {
  h.world.addPruned('gru', 1);
  h.world.fail('planPrune', '', 'gru', 'PRUNE_REFUSED');
  h.world.backoffMs = 3_600_000;

  assert.equal((await askPrune(h.client, 'gru')).report?.code, 'PRUNE_REFUSED');

  assert.deepEqual(steps('gru'), ['planPrune', 'recordPruneFailure']);
  h.world.backoffMs = 100;
});

test('a report that PostgreSQL refuses is recorded by its code', async () => {
  h.world.addPruned('syd', 1);
  h.world.fail('planPrune', '', 'syd', 'PRUNE_REFUSED');
  h.world.fail('recordPruneFailure', '', 'syd', 'DATABASE_REFUSED');
  h.world.backoffMs = 3_600_000;

  assert.equal((await askPrune(h.client, 'syd')).report?.code, 'PRUNE_REFUSED');

  assert.deepEqual(steps('syd'), ['planPrune', 'recordPruneFailure', 'recordPruneFailure']);
  h.world.backoffMs = 100;
});

test('a site that is not enabled is not pruned, and its workflow ends', async () => {
  h.world.addPruned('nrt');
  await reconcile(h.client, [], ['nrt']);
  h.world.pruned('nrt', { enabled: false });

  assert.equal((await askPrune(h.client, 'nrt')).outcome, 'removed');

  assert.equal(h.world.count('pruneBlobs', '', 'nrt'), 0);
  await eventually(
    'ended',
    async () =>
      (await h.client.workflow.getHandle(siteWorkflowId('nrt')).describe()).status.name ===
      'COMPLETED',
  );
});
