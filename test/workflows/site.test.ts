import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { reconcile } from '../../src/temporal/reconcile.ts';
import { sendDistributionChanged } from '../../src/temporal/signals.ts';
import { askPrune } from '../../src/temporal/updates.ts';
import { pruneNow, siteChanged, siteWorkflowId } from '../../workflows/messages.ts';
import { eventually } from './eventually.ts';
import { startHarness, type Harness } from './harness.ts';
import { type ActivityName } from './stand-ins.ts';

let h: Harness;
before(async () => {
  h = await startHarness(['fra', 'sin', 'ams', 'gru', 'nrt', 'syd']);
});
after(() => h.stop());

const RUN: readonly ActivityName[] = ['planPrune', 'pruneBlobs', 'pruneBlobs', 'pruneCatalog'];
const steps = (site: string) => h.world.steps('', site).filter((step) => !step.startsWith('load'));

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

const slices = (site: string) => h.world.count('scrubSlice', '', site);
const signal = (site: string) =>
  h.client.workflow.getHandle(siteWorkflowId(site)).signal(siteChanged);

test('a site is scrubbed slice by slice when its pass is due, and lanes are told', async () => {
  h.sites.add('lhr');
  h.world.add('rotten', []);
  h.world.addPruned('lhr');
  h.world.scrubs.rotten.set('lhr', ['rotten', 'unknown']);
  h.world.scrubs.row('lhr', { nextAt: Date.now() + 300, filesTotal: 3 });
  await sendDistributionChanged(h.client, 'rotten');
  await eventually('captured', () => h.world.count('captureSnapshot', 'rotten') === 1);

  await reconcile(h.client, [], ['lhr']);

  await eventually('the pass has ended', () => h.world.scrubs.row('lhr').endedAt !== null);
  assert.deepEqual([slices('lhr'), h.world.count('planPrune', '', 'lhr')], [3, 0]);
  await eventually('told', () => h.world.count('captureSnapshot', 'rotten') >= 2);
});

test('a prune that is asked for while a pass is in work waits for one slice', async () => {
  h.sites.add('cdg');
  h.world.addPruned('cdg', 1);
  h.world.scrubs.row('cdg', { nextAt: Date.now(), filesTotal: 1_000_000 });
  const hold = h.world.hold('scrubSlice', '', 'cdg');
  await reconcile(h.client, [], ['cdg']);
  await hold.reached;
  const asked = askPrune(h.client, 'cdg');
  await eventually('it is asked', async () =>
    (await h.client.workflow.getHandle(siteWorkflowId('cdg')).fetchHistory()).events!.some(
      (event) => event.workflowExecutionUpdateAcceptedEventAttributes,
    ),
  );
  hold.release();

  assert.equal((await asked).outcome, 'pruned');

  assert.deepEqual(h.world.steps('', 'cdg').slice(0, 4), [
    'loadPrune',
    'loadScrub',
    'scrubSlice',
    'planPrune',
  ]);
  await eventually('the next run scrubs on', () => slices('cdg') > 1);
  h.world.scrubs.row('cdg', { nextAt: null });
});

test('a long pass goes on in run after run', async () => {
  h.sites.add('hel');
  h.world.addPruned('hel');
  h.world.scrubs.row('hel', { nextAt: Date.now(), filesTotal: 110 });
  await reconcile(h.client, [], ['hel']);
  const { runId } = await h.client.workflow.getHandle(siteWorkflowId('hel')).describe();

  await eventually('the pass has ended', () => h.world.scrubs.row('hel').endedAt !== null, 60_000);

  assert.equal(slices('hel'), 110);
  const now = await h.client.workflow.getHandle(siteWorkflowId('hel')).describe();
  assert.notEqual(now.runId, runId);
  assert.ok(
    (await h.client.workflow.getHandle(siteWorkflowId('hel'), runId).fetchHistory()).events!
      .length < 2_000,
  );
  assert.equal(h.world.count('planPrune', '', 'hel'), 0);
});

test('a slice that fails is recorded, and the pass goes on', async () => {
  h.sites.add('osl');
  h.world.addPruned('osl');
  h.world.scrubs.row('osl', { nextAt: Date.now(), filesTotal: 2 });
  h.world.fail('scrubSlice', '', 'osl', 'SITE_UNREACHABLE');

  await reconcile(h.client, [], ['osl']);

  await eventually('the pass has ended', () => h.world.scrubs.row('osl').endedAt !== null);
  assert.deepEqual(
    h.world.steps('', 'osl').filter((step) => !step.startsWith('load')),
    ['scrubSlice', 'recordScrubFailure', 'scrubSlice', 'scrubSlice'],
  );
});

test('a paused site is neither scrubbed nor pruned, and goes on when it is resumed', async () => {
  h.sites.add('mad');
  h.world.addPruned('mad', 1);
  h.world.pruned('mad', { paused: true, nextAt: Date.now() });
  await reconcile(h.client, [], ['mad']);

  const { outcome, report } = await askPrune(h.client, 'mad');

  assert.deepEqual([outcome, report?.code], ['failed', 'PAUSED']);
  assert.deepEqual([slices('mad'), h.world.count('pruneBlobs', '', 'mad')], [0, 0]);

  h.world.pruned('mad', { paused: false });
  h.world.scrubs.row('mad', { nextAt: Date.now(), filesTotal: 1 });
  await signal('mad');
  await eventually('scrubbed and pruned', () =>
    [slices('mad'), h.world.count('pruneBlobs', '', 'mad')].every((count) => count === 1),
  );
});
