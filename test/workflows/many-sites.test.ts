/** A distribution with more sites than Temporal takes in one attribute. */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { sendCommand, sendDistributionChanged } from '../../src/temporal/signals.ts';
import { workflowId } from '../../workflows/messages.ts';
import { eventually } from './eventually.ts';
import { startHarness, type Harness } from './harness.ts';
import { siteQueue } from './scripted-rows.ts';

/** As long as names may be (configuration-schema.ts). */
const SITES = Array.from({ length: 200 }, (_, index) => `site-${index}-`.padEnd(63, 'x'));

let h: Harness;
before(async () => void (h = await startHarness(['fra'])));
after(() => h.stop());

test('200 sites with long names: the run goes on, and shows what is wrong first', async () => {
  h.world.add('many', []);
  for (const site of SITES) h.world.addSite('many', site, siteQueue('fra'));
  const [wrong, working] = [SITES[150]!, SITES.slice(140, 160)];
  for (const site of SITES)
    if (!working.includes(site)) h.world.change('many', site, { paused: true });
  h.world.fail('syncBlobs', 'many', wrong, 'PATH_CONFLICT');
  const started = Date.now();
  await sendDistributionChanged(h.client, 'many');
  const { runId } = await h.run('many');
  await eventually(
    'one is parked, those that are not paused are synced',
    () =>
      working.every((site) => h.world.row('many', site).state !== 'pending') &&
      working.every((site) => h.world.row('many', site).state !== 'started'),
    60_000,
  );
  const handle = h.client.workflow.getHandle(workflowId('many'));

  deepEqual(await h.run('many').then((run) => [run.runId, run.status]), [runId, 'RUNNING']);
  await eventually('found by its counts', async () => {
    const query = `FailedCount = 1 and LaggingCount = 181 and FailedSites = "${wrong}"`;
    return (await h.client.workflow.count(query)).count === 1;
  });
  const { currentDetails = '' } = await handle.query<{ currentDetails?: string }>(
    '__temporal_workflow_metadata',
  );
  ok(Buffer.byteLength(currentDetails) < 20_000, `${Buffer.byteLength(currentDetails)} bytes`);
  ok(currentDetails.includes('… and 180 more'), currentDetails);
  const [first] = currentDetails.split('\n').filter((line) => line.startsWith('| site-'));
  ok(first?.includes(wrong), currentDetails);

  const { events = [] } = await handle.fetchHistory();
  const upserts = events!.filter((event) => {
    const fields = event.upsertWorkflowSearchAttributesEventAttributes?.searchAttributes;
    return fields?.indexedFields?.['ReplicationState'];
  });
  const seconds = (Date.now() - started) / 1_000;
  ok(upserts.length <= seconds + 10, `${upserts.length} upserts in ${seconds} s`);

  await sendCommand(h.client, 'resume', 'many', SITES[7]!);
  await h.synced('many', SITES[7]!);
  equal((await h.run('many')).runId, runId);
});
