import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { defaultPayloadConverter, type Payload } from '@temporalio/common';

import { aPackage, aWorld, type World } from '../support/world.ts';

test(
  'details, summaries and search attributes of the workflow tell the story alone',
  { timeout: 120_000 },
  async (t) => {
    const world = await aWorld(t);
    await world.release([aPackage('hello', '1.0')]);
    await world.update();
    await world.site('sin').proxy.refuse(true);
    await world.release([aPackage('hello', '2.0')]);
    await world.look();
    await world.until(
      ({ sites }) =>
        sites.some(({ site, state }) => site === 'sin' && state === 'failed') &&
        sites.some(({ site, served }) => site === 'fra' && served === 2),
      'sin fails, fra goes on',
    );

    await world.withTemporal(async (client) => {
      const handle = client.workflow.getHandle('distribution/bookworm');
      const metadata = await handle.query<{ currentDetails?: string }>(
        '__temporal_workflow_metadata',
      );
      assert.match(metadata.currentDetails ?? '', /fra/);
      assert.match(metadata.currentDetails ?? '', /sin.*SITE_UNREACHABLE/);

      const { events } = await handle.fetchHistory();
      const scheduled = (events ?? []).filter(
        (event) => event.activityTaskScheduledEventAttributes,
      );
      assert.ok(scheduled.length > 0);
      for (const event of scheduled) {
        const summary = textOf(event.userMetadata?.summary as Payload | null | undefined);
        assert.ok(
          summary,
          `${event.activityTaskScheduledEventAttributes?.activityType?.name} has no summary`,
        );
      }
      const summaries = scheduled.map((event) => textOf(event.userMetadata?.summary as Payload));
      assert.ok(
        summaries.some((summary) => /fra.*2/.test(summary ?? '')),
        summaries.join('\n'),
      );

      const deadline = Date.now() + 20_000;
      for (;;) {
        const found: string[] = [];
        for await (const run of client.workflow.list({
          query: 'FailedSites = "sin" AND LaggingSites = "sin"',
        }))
          found.push(run.workflowId);
        if (found.includes('distribution/bookworm')) break;
        assert.ok(Date.now() < deadline, 'the run is found by FailedSites');
        await sleep(200);
      }
    });
  },
);

test(
  'histories carry ids and counts: no file names, no digests, no credentials',
  { timeout: 120_000 },
  async (t) => {
    const world = await aWorld(t);
    await world.release([aPackage('secretly-named-package', '1.0')]);
    await world.update();
    await world.verify();

    const words = await wordsOfHistory(world);
    assert.match(words, /"filesTotal"/, 'results are decoded');
    assert.doesNotMatch(words, /secretly-named-package/);
    assert.doesNotMatch(words, /[0-9a-f]{64}/);
    assert.doesNotMatch(words, /AccountKey|Eby8vdM0|SharedAccessSignature|postgresql:/);
  },
);

test(
  'it would be seen if an activity answered with file names',
  { timeout: 120_000 },
  async (t) => {
    const world = await aWorld(t, {
      activities: (real) => ({
        ...real,
        syncBlobs: async (input) => ({
          ...(await real.syncBlobs(input)),
          paths: ['pool/main/s/secretly-named-package.deb'],
        }),
      }),
    });
    await world.release([aPackage('secretly-named-package', '1.0')]);
    await world.update();

    assert.match(await wordsOfHistory(world), /secretly-named-package/);
  },
);

const textOf = (payload: Payload | null | undefined): string | undefined =>
  payload ? defaultPayloadConverter.fromPayload<string>(payload) : undefined;

/**
 * Everything in a history that we put there: payloads (inputs, results, details, summaries)
 * decoded, and the words of failures.
 */
function wordsOf(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    if (key === 'data' && typeof inner === 'string')
      return [Buffer.from(inner, 'base64').toString()];
    return (key === 'message' || key === 'stackTrace') && typeof inner === 'string'
      ? [inner]
      : wordsOf(inner);
  });
}

const wordsOfHistory = async (world: World): Promise<string> =>
  world.withTemporal(async (client) => {
    const { events } = await client.workflow.getHandle('distribution/bookworm').fetchHistory();
    return wordsOf(JSON.parse(JSON.stringify(events))).join('\n');
  });
