/**
 * Records the histories of test/histories on a real server, with scripted activities: `node
 * test/support/record-histories.ts [NAME …]`.
 *
 * Run by hand, and only when commands were changed on purpose. A history that runs in production is
 * not recorded anew but kept, and the change is put behind `patched()`: that is what the replay
 * test asks for.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';

import { reconcile } from '../../src/temporal/reconcile.ts';
import { sendCommand, sendDistributionChanged, sendVerify } from '../../src/temporal/signals.ts';
import { askPrune, look } from '../../src/temporal/updates.ts';
import { siteChanged, siteWorkflowId, workflowId } from '../../workflows/messages.ts';
import { eventually } from '../workflows/eventually.ts';
import { startHarness, type Harness } from '../workflows/harness.ts';

const FOLDER = fileURLToPath(new URL('../histories/', import.meta.url));
const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

/**
 * Each brings a distribution of its own name to where its history says what it shall.
 * @returns the run to record; nothing: the newest
 */
const SCENARIOS: Readonly<Record<string, (h: Harness, name: string) => Promise<string | void>>> = {
  async capture(h, name) {
    h.world.add(name, []);
    await sendDistributionChanged(h.client, name);
    await eventually('captured', () => h.world.count('captureSnapshot', name) === 1);
  },
  async 'unchanged-poll'(h, name) {
    h.world.pollMs = 300;
    h.world.add(name, []);
    await sendDistributionChanged(h.client, name);
    await eventually('polled', () => h.world.count('captureSnapshot', name) === 2);
    h.world.pollMs = 3_600_000;
  },
  async 'capture-failure'(h, name) {
    h.world.add(name, []);
    h.world.fail('captureSnapshot', name, null, 'SIGNATURE_INVALID');
    await sendDistributionChanged(h.client, name);
    await eventually('looked again', () => h.world.count('captureSnapshot', name) === 2);
  },
  async burst(h, name) {
    h.world.add(name, [], { gatherMs: 500 });
    await sendDistributionChanged(h.client, name);
    await eventually('captured', () => h.world.count('captureSnapshot', name) === 1);
    for (let signals = 0; signals < 5; signals += 1) await sendDistributionChanged(h.client, name);
    await eventually('captured again', () => h.world.count('captureSnapshot', name) === 2);
  },
  async chain(h, name) {
    h.world.add(name, ['fra', 'sin']);
    await sendDistributionChanged(h.client, name);
    await h.synced(name, 'fra', 'sin');
  },
  async 'joined-steps'(h, name) {
    h.world.add(name, ['fra', 'sin']);
    h.world.rot(name, 'fra', 1);
    await sendDistributionChanged(h.client, name);
    await h.synced(name, 'fra', 'sin');
  },
  async failure(h, name) {
    h.world.add(name, ['fra']);
    h.world.fail('syncBlobs', name, 'fra', 'SITE_UNREACHABLE');
    await sendDistributionChanged(h.client, name);
    await h.synced(name, 'fra');
  },
  async retry(h, name) {
    h.world.add(name, ['fra']);
    h.world.fail('syncBlobs', name, 'fra', 'PATH_CONFLICT');
    await sendDistributionChanged(h.client, name);
    await eventually('parked', () => h.world.row(name, 'fra').state === 'failed');
    await sendCommand(h.client, 'retry', name, 'fra');
    await h.synced(name, 'fra');
  },
  async cancel(h, name) {
    h.world.add(name, ['fra']);
    const hold = h.world.hold('syncBlobs', name, 'fra');
    await sendDistributionChanged(h.client, name);
    await hold.reached;
    await sendCommand(h.client, 'cancel', name);
    await eventually('cancelled', () => h.world.row(name, 'fra').state === 'cancelled');
  },
  async 'pause-resume'(h, name) {
    h.world.add(name, ['fra']);
    const hold = h.world.hold('syncBlobs', name, 'fra');
    await sendDistributionChanged(h.client, name);
    await hold.reached;
    await sendCommand(h.client, 'pause', name);
    hold.release();
    await eventually('paused', () => h.world.row(name, 'fra').paused);
    await sendCommand(h.client, 'resume', name);
    await h.synced(name, 'fra');
  },
  async verify(h, name) {
    h.world.add(name, ['fra']);
    await sendDistributionChanged(h.client, name);
    await h.synced(name, 'fra');
    h.world.rot(name, 'fra', 1);
    await sendVerify(h.client, name);
    await eventually('the command is committed', () => h.world.count('applyOrder', name) === 1);
    await h.synced(name, 'fra');
  },
  async look(h, name) {
    h.world.add(name, []);
    await look(h.client, name);
    await look(h.client, name);
  },
  async 'site-leaves'(h, name) {
    h.world.add(name, ['fra']);
    const hold = h.world.hold('syncBlobs', name, 'fra');
    await sendDistributionChanged(h.client, name);
    await hold.reached;
    h.world.removeSite(name, 'fra');
    await look(h.client, name);
    await eventually(
      'the slice is cancelled',
      async () =>
        (await h.client.workflow.getHandle(workflowId(name)).describe()).raw.pendingActivities
          ?.length === 0,
    );
  },
  async 'continue-as-new'(h, name) {
    return (await renew(h, name)).first;
  },
  async carried(h, name) {
    const { second } = await renew(h, name);
    await eventually('the carried command is committed', () => h.world.row(name, 'fra').paused);
    return second;
  },
  async 'refused-record'(h, name) {
    h.world.add(name, ['fra']);
    h.world.fail('captureSnapshot', name, null, 'SIGNATURE_MALFORMED');
    h.world.fail('recordCaptureFailure', name, null, 'DATABASE_REFUSED');
    h.world.fail('syncBlobs', name, 'fra', 'SITE_REFUSED');
    for (let times = 0; times < 2; times += 1)
      h.world.fail('recordFailure', name, 'fra', 'DATABASE_REFUSED');
    await sendDistributionChanged(h.client, name);
    await eventually('refused', () => h.world.count('recordFailure', name, 'fra') === 2);
    h.world.fail('applyOrder', name, 'fra', 'DATABASE_REFUSED');
    await sendCommand(h.client, 'pause', name);
    await eventually('refused', () => h.world.count('applyOrder', name, 'fra') === 1);
    await sendCommand(h.client, 'retry', name);
    await h.synced(name, 'fra');
  },
  async 'capped-attributes'(h, name) {
    h.world.add(name, ['fra', 'sin']);
    await sendDistributionChanged(h.client, name);
    await h.synced(name, 'fra', 'sin');
    await isShown(h, name);
  },
  async 'quiet-attributes'(h, name) {
    h.world.add(name, ['fra']);
    await sendDistributionChanged(h.client, name);
    await h.synced(name, 'fra');
    await isShown(h, name);
    h.world.release(name);
    await look(h.client, name);
    await h.synced(name, 'fra');
  },
  async 'early-command'(h, name) {
    h.world.add(name, []);
    await sendDistributionChanged(h.client, name);
    await eventually('captured', () => h.world.count('captureSnapshot', name) === 1);
    const hold = h.world.hold('captureSnapshot', name);
    h.world.addSite(name, 'fra');
    await sendDistributionChanged(h.client, name);
    await hold.reached;
    await sendCommand(h.client, 'pause', name, 'fra');
    hold.release();
    await eventually('paused', () => h.world.row(name, 'fra').paused);
    await eventually('looked again', () => h.world.count('captureSnapshot', name) === 3);
  },
  async unreadable(h, name) {
    h.world.add(name, ['fra']);
    await sendDistributionChanged(h.client, name);
    await h.synced(name, 'fra');
    await h.client.workflowService.signalWorkflowExecution({
      namespace: h.client.options.namespace,
      workflowExecution: { workflowId: workflowId(name) },
      signalName: 'pause',
      input: {
        payloads: [
          { metadata: { encoding: Buffer.from('json/protobuf') }, data: Buffer.from('{}') },
        ],
      },
    });
    await look(h.client, name);
  },
  async 'moved-lane'(h, name) {
    h.world.add(name, []);
    h.world.addSite(name, 'fra', 'debgeo-site-gone');
    await look(h.client, name);
    await eventually('it waits', () => h.world.row(name, 'fra').state === 'started');
    h.world.change(name, 'fra', { queue: 'debgeo-site-fra' });
    await look(h.client, name);
    await h.synced(name, 'fra');
  },
  async removal(h, name) {
    h.world.add(name, ['fra']);
    await sendDistributionChanged(h.client, name);
    await h.synced(name, 'fra');
    h.world.remove(name);
    await sendDistributionChanged(h.client, name);
    await eventually('completed', async () => (await h.run(name)).status === 'COMPLETED');
  },
  async prune(h) {
    return pruneAsked(h, 'fra');
  },
  async 'prune-failure'(h) {
    h.world.backoffMs = 3_600_000;
    const recorded = pruneAsked(h, 'sin', () =>
      h.world.fail('pruneBlobs', '', 'sin', 'SITE_UNREACHABLE'),
    );
    return recorded.finally(() => (h.world.backoffMs = 100));
  },
  async scrub(h) {
    h.world.add('rotten', []);
    await sendDistributionChanged(h.client, 'rotten');
    h.world.scrubs.rotten.set('ams', ['rotten']);
    h.world.scrubs.row('ams', { nextAt: Date.now(), filesTotal: 2 });
    return scrubbed(h, 'ams');
  },
  async 'scrub-failure'(h) {
    h.world.fail('scrubSlice', '', 'gru', 'SITE_UNREACHABLE');
    h.world.scrubs.row('gru', { nextAt: Date.now(), filesTotal: 1 });
    return scrubbed(h, 'gru');
  },
  // of the version before sites were confirmed
  'site-changed': (h) => changed(h, 'lhr'),
  'confirmed-site': (h) => changed(h, 'ord'),
};

/** Those that are not of a distribution. */
const WORKFLOWS: Readonly<Record<string, string>> = {
  prune: siteWorkflowId('fra'),
  'prune-failure': siteWorkflowId('sin'),
  scrub: siteWorkflowId('ams'),
  'scrub-failure': siteWorkflowId('gru'),
  'site-changed': siteWorkflowId('lhr'),
  'confirmed-site': siteWorkflowId('ord'),
};

/** The run in which a pass ends, and then a prune. */
async function scrubbed(h: Harness, site: string): Promise<string> {
  h.world.addPruned(site, 1);
  await reconcile(h.client, [], [site]);
  const { runId } = await h.client.workflow.getHandle(siteWorkflowId(site)).describe();
  await eventually('the pass has ended', () => h.world.scrubs.row(site).endedAt !== null);
  await askPrune(h.client, site);
  return runId;
}

/** The run in which rows are read again, and then a prune. */
async function changed(h: Harness, site: string): Promise<string> {
  h.world.addPruned(site, 1);
  await reconcile(h.client, [], [site]);
  const handle = h.client.workflow.getHandle(siteWorkflowId(site));
  const { runId } = await handle.describe();
  await eventually('it waits', () => h.world.count('loadScrub', '', site) === 1);
  await handle.signal(siteChanged);
  await eventually('the rows are read again', () => h.world.count('loadScrub', '', site) === 2);
  await askPrune(h.client, site);
  return runId;
}

/** The run that prunes when it is asked; it continues as new behind that. */
async function pruneAsked(
  h: Harness,
  site: string,
  before: () => void = () => {},
): Promise<string> {
  h.world.addPruned(site);
  before();
  const asked = askPrune(h.client, site);
  const handle = h.client.workflow.getHandle(siteWorkflowId(site));
  let first: string | null = null;
  await eventually('it runs', async () => {
    first = await handle.describe().then(
      (run) => run.runId,
      () => null,
    );
    return first !== null;
  });
  await asked;
  return first!;
}

/** A run that is full while a site works and a command waits. */
async function renew(h: Harness, name: string): Promise<{ first: string; second: string }> {
  h.world.add(name, ['fra'], { historyEventsMax: 60, drainMs: 200 });
  const hold = h.world.hold('syncBlobs', name, 'fra');
  await sendDistributionChanged(h.client, name);
  await hold.reached;
  const { runId: first } = await h.run(name);
  await sendCommand(h.client, 'pause', name);
  while ((await h.run(name)).runId === first) await look(h.client, name);
  return { first, second: (await h.run(name)).runId };
}

const isShown = (h: Harness, name: string): Promise<void> =>
  eventually('the last change is shown', async () => {
    const query = `ReplicationState = "success" and WorkflowId = "${workflowId(name)}"`;
    return (await h.client.workflow.count(query)).count === 1;
  });

/** Without the identity and the folder of the one who recorded it: they change nothing. */
const anonymous = (json: string): string =>
  JSON.stringify(
    JSON.parse(json),
    (key, value: unknown) => (key === 'identity' ? 'recorder' : value),
    1,
  ).replaceAll(ROOT, '/debgeo');

const wanted = process.argv.slice(2);

// A test, because the servers stop behind the last one; its file name keeps it from `npm test`.
test('histories are recorded', async () => {
  const h = await startHarness(['fra', 'sin', 'ams', 'gru', 'lhr', 'ord']);
  await mkdir(FOLDER, { recursive: true });
  for (const [name, scenario] of Object.entries(SCENARIOS)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    const runId = (await scenario(h, name)) ?? undefined;
    // the workflow task behind the last answer belongs to the history, too
    await new Promise((resolve) => setTimeout(resolve, 300));
    const history = await h.client.workflow
      .getHandle(WORKFLOWS[name] ?? workflowId(name), runId)
      .fetchHistory();
    await writeFile(`${FOLDER}${name}.json`, `${anonymous(historyToJSON(history))}\n`);
  }
  await h.stop();
});
