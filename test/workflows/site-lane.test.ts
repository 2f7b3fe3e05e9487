import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Replication } from '../../src/domain/replication.ts';
import { queryStatus } from '../../src/temporal/describe.ts';
import { sendCommand, sendDistributionChanged, sendVerify } from '../../src/temporal/signals.ts';
import { look } from '../../src/temporal/updates.ts';
import { eventually } from './eventually.ts';
import { startHarness, type Harness } from './harness.ts';
import { HOUR } from './scripted-rows.ts';

let h: Harness;
before(async () => void (h = await startHarness(['fra', 'sin'])));
after(() => h.stop());

const CHAIN = ['syncBlobs', 'syncBlobs', 'checksumBlobs', 'verifySnapshot', 'publishSnapshot'];

test('a lane plans, copies slice by slice, reads back, judges, publishes and probes', async () => {
  h.world.add('chain', ['fra']);

  await sendDistributionChanged(h.client, 'chain');
  await h.synced('chain', 'fra');

  assert.deepEqual(h.world.steps('chain', 'fra'), CHAIN);
});

test('a stuck site holds up no other', async () => {
  h.world.add('stuck', ['fra', 'sin']);
  const hold = h.world.hold('syncBlobs', 'stuck', 'sin');

  await sendDistributionChanged(h.client, 'stuck');
  await hold.reached;
  h.world.release('stuck');
  await look(h.client, 'stuck');
  await eventually(
    'fra serves the second generation',
    () => h.world.row('stuck', 'fra').served === 2,
  );

  assert.equal(h.world.row('stuck', 'sin').served, 0);
  assert.equal(h.world.row('stuck', 'sin').pinned, 1);
  hold.release();
  await h.synced('stuck', 'fra', 'sin');
});

test('a newer snapshot does not take a slow site off the generation that it works on', async () => {
  h.world.add('slow', ['fra']);
  const hold = h.world.hold('syncBlobs', 'slow', 'fra');
  await sendDistributionChanged(h.client, 'slow');
  await hold.reached;

  h.world.release('slow');
  await look(h.client, 'slow');
  hold.release();
  await h.synced('slow', 'fra');

  assert.deepEqual(
    h.world.calls
      .filter(
        ({ activity, distribution }) => activity === 'publishSnapshot' && distribution === 'slow',
      )
      .map(({ generation }) => generation),
    [1, 2],
  );
});

test('a failure is recorded, and the lane tries again when its backoff is over', async () => {
  h.world.add('failing', ['fra']);
  h.world.fail('syncBlobs', 'failing', 'fra', 'SITE_UNREACHABLE');
  h.world.fail('syncBlobs', 'failing', 'fra', 'SITE_THROTTLED');

  await sendDistributionChanged(h.client, 'failing');
  await h.synced('failing', 'fra');

  assert.equal(h.world.count('recordFailure', 'failing', 'fra'), 2);
  assert.equal(h.world.row('failing', 'fra').retryCount, 0);
});

test('retry ends the backoff at once', async () => {
  h.world.add('backoff', ['fra', 'sin']);
  h.world.backoffMs = 3_600_000;
  h.world.fail('syncBlobs', 'backoff', 'fra', 'SITE_UNREACHABLE');
  await sendDistributionChanged(h.client, 'backoff');
  await eventually('fra failed', () => h.world.row('backoff', 'fra').state === 'failed');
  h.world.backoffMs = 100;

  await sendCommand(h.client, 'retry', 'backoff', 'fra');
  await h.synced('backoff', 'fra', 'sin');

  assert.equal(h.world.count('applyOrder', 'backoff', 'sin'), 0);
});

test('a lane whose failure needs a person waits for its hour, or until retry', async () => {
  h.world.add('parked', ['fra']);
  h.world.fail('syncBlobs', 'parked', 'fra', 'PATH_CONFLICT');
  await sendDistributionChanged(h.client, 'parked');
  await eventually('parked', () => h.world.row('parked', 'fra').state === 'failed');
  h.world.release('parked');
  await look(h.client, 'parked');

  assert.equal(h.world.row('parked', 'fra').state, 'failed');
  await sendCommand(h.client, 'retry', 'parked');
  await h.synced('parked', 'fra');
});

test('a parked lane tries again by itself, with nothing but the time in its row', async (t) => {
  h.world.parkedMs = 500;
  t.after(() => (h.world.parkedMs = HOUR));
  h.world.add('waking', ['fra']);
  h.world.fail('syncBlobs', 'waking', 'fra', 'PATH_CONFLICT');
  h.world.fail('syncBlobs', 'waking', 'fra', 'SITE_DENIED');
  await sendDistributionChanged(h.client, 'waking');
  await h.synced('waking', 'fra');

  assert.equal(h.world.count('recordFailure', 'waking', 'fra'), 2);
  assert.equal(h.world.count('applyOrder', 'waking', 'fra'), 0, 'no operator acted');
});

test('a parked lane that is cancelled or paused does not try again', async (t) => {
  h.world.parkedMs = 500;
  t.after(() => (h.world.parkedMs = HOUR));
  h.world.add('held', ['fra', 'sin']);
  for (const site of ['fra', 'sin']) h.world.fail('syncBlobs', 'held', site, 'PATH_CONFLICT');
  await sendDistributionChanged(h.client, 'held');
  for (const site of ['fra', 'sin'])
    await eventually('parked', () => h.world.row('held', site).state === 'failed');
  await sendCommand(h.client, 'cancel', 'held', 'fra');
  await sendCommand(h.client, 'pause', 'held', 'sin');
  await eventually('cancelled', () => h.world.row('held', 'fra').state === 'cancelled');
  await eventually('paused', () => h.world.row('held', 'sin').paused);
  const tried = () => ['fra', 'sin'].map((site) => h.world.count('syncBlobs', 'held', site));
  const before = tried();

  await sleep(1_500);

  assert.deepEqual(tried(), before);
  await sendCommand(h.client, 'resume', 'held', 'sin');
  await h.synced('held', 'sin');
});

test('cancel stops a slice in its middle; retry goes on with what was copied', async () => {
  h.world.add('cancel', ['fra', 'sin']);
  const first = h.world.hold('checksumBlobs', 'cancel', 'fra');
  await sendDistributionChanged(h.client, 'cancel');
  await first.reached;

  await sendCommand(h.client, 'cancel', 'cancel', 'fra');
  await eventually('cancelled', () => h.world.row('cancel', 'fra').state === 'cancelled');
  await h.synced('cancel', 'sin');

  const copied = h.world.copied('cancel', 'fra');
  assert.equal(h.world.count('recordFailure', 'cancel'), 0);
  await sendCommand(h.client, 'retry', 'cancel', 'fra');
  await h.synced('cancel', 'fra');
  assert.ok(h.world.copied('cancel', 'fra') <= copied + 2);
});

test('a newer generation lifts cancel', async () => {
  h.world.add('lift', ['fra']);
  const hold = h.world.hold('syncBlobs', 'lift', 'fra');
  await sendDistributionChanged(h.client, 'lift');
  await hold.reached;
  await sendCommand(h.client, 'cancel', 'lift');
  await eventually('cancelled', () => h.world.row('lift', 'fra').state === 'cancelled');

  h.world.release('lift');
  await look(h.client, 'lift');
  await h.synced('lift', 'fra');

  assert.equal(h.world.row('lift', 'fra').served, 2);
});

test('cancel between two published names goes through to InRelease', async () => {
  h.world.add('through', ['fra']);
  const hold = h.world.hold('publishSnapshot', 'through', 'fra');
  await sendDistributionChanged(h.client, 'through');
  await hold.reached;

  await sendCommand(h.client, 'cancel', 'through', 'fra');
  await h.synced('through', 'fra');

  assert.equal(h.world.row('through', 'fra').served, 1);
  assert.equal(h.world.row('through', 'fra').publishing, false);
});

test('a lane that failed between two published names finishes them, also when paused', async () => {
  h.world.add('torn', ['fra']);
  h.world.backoffMs = 1_500;
  h.world.fail('publishSnapshot', 'torn', 'fra', 'SITE_UNREACHABLE');
  await sendDistributionChanged(h.client, 'torn');
  await eventually('failed in the middle', () => h.world.row('torn', 'fra').state === 'failed');
  h.world.backoffMs = 100;
  await sendCommand(h.client, 'pause', 'torn', 'fra');
  h.world.release('torn');
  await look(h.client, 'torn');

  await eventually(
    'the open publication is finished',
    () => h.world.row('torn', 'fra').served === 1 && h.world.row('torn', 'fra').pinned === null,
  );

  assert.equal(h.world.row('torn', 'fra').paused, true);
  assert.equal(h.world.row('torn', 'fra').target, 2);
  await sendCommand(h.client, 'resume', 'torn');
  await h.synced('torn', 'fra');
});

test('pause lets the slice end and holds until resume', async () => {
  h.world.add('pause', ['fra']);
  const hold = h.world.hold('syncBlobs', 'pause', 'fra');
  await sendDistributionChanged(h.client, 'pause');
  await hold.reached;

  await sendCommand(h.client, 'pause', 'pause');
  hold.release();
  await eventually('paused', () => h.world.row('pause', 'fra').paused);
  await look(h.client, 'pause');

  assert.equal(h.world.copied('pause', 'fra'), 1);
  assert.equal(h.world.count('recordFailure', 'pause'), 0);
  await sendCommand(h.client, 'resume', 'pause');
  await h.synced('pause', 'fra');
});

test('verify reads everything back at one site and repairs it, without a failure', async () => {
  h.world.add('verify', ['fra', 'sin']);
  await sendDistributionChanged(h.client, 'verify');
  await h.synced('verify', 'fra', 'sin');
  const before = h.world.steps('verify', 'fra').length;
  h.world.rot('verify', 'sin', 1);

  await sendVerify(h.client, 'verify', 'sin');
  await eventually(
    'the command is committed',
    () => h.world.count('applyOrder', 'verify', 'sin') === 1,
  );
  await h.synced('verify', 'sin');

  const anew = h.world.steps('verify', 'sin').slice(before);
  assert.deepEqual(anew, [
    'applyOrder',
    'syncBlobs',
    'checksumBlobs',
    'syncBlobs',
    'checksumBlobs',
    'verifySnapshot',
    'publishSnapshot',
  ]);
  assert.equal(h.world.steps('verify', 'fra').length, before);
});

test('verify that is asked for in the middle of a chain is answered by the next one', async () => {
  h.world.add('verify-again', ['fra']);
  const hold = h.world.hold('checksumBlobs', 'verify-again', 'fra');
  await sendDistributionChanged(h.client, 'verify-again');
  await hold.reached;

  await sendVerify(h.client, 'verify-again');
  hold.release();
  await h.synced('verify-again', 'fra');

  assert.equal(h.world.count('recordFailure', 'verify-again'), 0);
});

test('a site that never returns what was written ends in backoff, not in a busy loop', async () => {
  h.world.add('rotten', ['fra']);
  h.world.backoffMs = 3_600_000;
  h.world.rot('rotten', 'fra', 1e9);

  await sendDistributionChanged(h.client, 'rotten');
  await eventually('failed', () => h.world.row('rotten', 'fra').state === 'failed');
  h.world.backoffMs = 100;

  assert.equal(h.world.row('rotten', 'fra').code, 'NOT_VERIFIED');
});

test('a chain that ends well and changes nothing is a failure, not a busy loop', async () => {
  h.world.add('inert', ['fra']);
  h.world.backoffMs = 3_600_000;
  h.world.ignore('publishSnapshot', 'inert', 'fra');

  await sendDistributionChanged(h.client, 'inert');
  await eventually('failed', () => h.world.row('inert', 'fra').state === 'failed');
  h.world.backoffMs = 100;

  assert.equal(h.world.row('inert', 'fra').code, 'UNKNOWN');
});

test('a superseded generation is left for the newer one at once', async () => {
  h.world.add('superseded', ['fra']);
  const hold = h.world.hold('syncBlobs', 'superseded', 'fra');
  await sendDistributionChanged(h.client, 'superseded');
  await hold.reached;
  h.world.release('superseded');
  await look(h.client, 'superseded');

  h.world.fail('syncBlobs', 'superseded', 'fra', 'SUPERSEDED');
  hold.release();
  await h.synced('superseded', 'fra');

  assert.equal(h.world.row('superseded', 'fra').served, 2);
  assert.equal(h.world.row('superseded', 'fra').retryCount, 0);
});

test('of commands that arrive together the last of each kind is applied', async () => {
  h.world.add('last', ['fra']);
  const hold = h.world.hold('loadRoster', 'last');
  await sendDistributionChanged(h.client, 'last');
  await hold.reached;

  for (const command of ['cancel', 'pause', 'retry', 'resume'] as const)
    await sendCommand(h.client, command, 'last');
  hold.release();
  await h.synced('last', 'fra');

  assert.notEqual(h.world.row('last', 'fra').state, 'cancelled');
});

test('a site that is removed in the middle of its work comes back with a new lane', async () => {
  h.world.add('come-back', ['fra', 'sin']);
  const hold = h.world.hold('syncBlobs', 'come-back', 'sin');
  await sendDistributionChanged(h.client, 'come-back');
  await hold.reached;

  h.world.removeSite('come-back', 'sin');
  await look(h.client, 'come-back');
  h.world.addSite('come-back', 'sin');
  await look(h.client, 'come-back');

  await h.synced('come-back', 'fra', 'sin');
});

test('a lane whose row is gone does nothing until a roster names its site again', async () => {
  h.world.add('gone', ['fra']);
  const hold = h.world.hold('syncBlobs', 'gone', 'fra');
  await sendDistributionChanged(h.client, 'gone');
  await hold.reached;

  h.world.removeSite('gone', 'fra');
  hold.release();
  await eventually('the failure finds no row', () => h.world.count('recordFailure', 'gone') === 1);
  h.world.addSite('gone', 'fra');
  await look(h.client, 'gone');

  await h.synced('gone', 'fra');
});

test('a site that is added later gets a worker and a lane', async () => {
  h.world.add('later', ['fra']);
  await sendDistributionChanged(h.client, 'later');
  await h.synced('later', 'fra');

  h.sites.add('syd');
  h.world.addSite('later', 'syd');
  await sendDistributionChanged(h.client, 'later');

  await h.synced('later', 'fra', 'syd');
});

test('a report that PostgreSQL refuses is recorded by its code, and no lane waits', async () => {
  h.world.add('refused', ['fra', 'sin']);
  h.world.fail('syncBlobs', 'refused', 'sin', 'SITE_UNREACHABLE');
  h.world.fail('recordFailure', 'refused', 'sin', 'DATABASE_REFUSED');

  await sendDistributionChanged(h.client, 'refused');
  await h.synced('refused', 'fra', 'sin');

  assert.equal(h.world.count('recordFailure', 'refused', 'sin'), 2);
  assert.equal((await h.run('refused')).status, 'RUNNING');
});

test('where PostgreSQL refuses the code, too, the lane waits, and takes a command', async () => {
  h.world.add('refusing', ['fra', 'sin']);
  h.world.fail('syncBlobs', 'refusing', 'sin', 'SITE_UNREACHABLE');
  for (let times = 0; times < 2; times += 1)
    h.world.fail('recordFailure', 'refusing', 'sin', 'DATABASE_REFUSED');

  await sendDistributionChanged(h.client, 'refusing');
  await h.synced('refusing', 'fra');
  const rowOf = async (): Promise<Replication | undefined> =>
    (await queryStatus(h.client, 'refusing'))?.replications.find(({ site }) => site === 'sin');
  await eventually('shown', async () => (await rowOf())?.code === 'SITE_UNREACHABLE');
  assert.equal((await rowOf())?.state, 'failed');
  assert.ok((await rowOf())!.retryAt! > Date.now());

  await sendCommand(h.client, 'retry', 'refusing', 'sin');
  await h.synced('refusing', 'fra', 'sin');
});

test('a command that PostgreSQL refuses ends no run, and the next one counts', async () => {
  h.world.add('commanded', ['fra']);
  await sendDistributionChanged(h.client, 'commanded');
  await h.synced('commanded', 'fra');
  const { runId } = await h.run('commanded');
  h.world.fail('applyOrder', 'commanded', 'fra', 'DATABASE_REFUSED');

  await sendCommand(h.client, 'pause', 'commanded');
  await eventually('refused', () => h.world.count('applyOrder', 'commanded', 'fra') === 1);
  await sendCommand(h.client, 'pause', 'commanded');
  await eventually('paused', () => h.world.row('commanded', 'fra').paused);

  const after = await h.run('commanded');
  assert.deepEqual([after.runId, after.status], [runId, 'RUNNING']);
});
