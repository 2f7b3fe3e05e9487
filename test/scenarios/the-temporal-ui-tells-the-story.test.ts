import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import { aPackage, aWorld } from '../support/world.ts';

test(
  'details, summaries and search attributes of the workflow tell the story without our command line',
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
      const metadata = await handle.query<{ currentDetails?: string }>('__temporal_workflow_metadata');
      assert.match(metadata.currentDetails ?? '', /fra/);
      assert.match(metadata.currentDetails ?? '', /sin.*SITE_UNREACHABLE/);

      const { events } = await handle.fetchHistory();
      const scheduled = (events ?? []).filter((event) => event.activityTaskScheduledEventAttributes);
      assert.ok(scheduled.length > 0);
      for (const event of scheduled) {
        const summary = textOf(event.userMetadata?.summary as Payload | null | undefined);
        assert.ok(summary, `${event.activityTaskScheduledEventAttributes?.activityType?.name} has no summary`);
      }
      const summaries = scheduled.map((event) => textOf(event.userMetadata?.summary as Payload));
      assert.ok(
        summaries.some((summary) => /fra.*2/.test(summary ?? '')),
        summaries.join('\n'),
      );

      const deadline = Date.now() + 20_000;
      for (;;) {
        const found: string[] = [];
        for await (const run of client.workflow.list({ query: 'FailedSites = "sin" AND LaggingSites = "sin"' })) found.push(run.workflowId);
        if (found.includes('distribution/bookworm')) break;
        assert.ok(Date.now() < deadline, 'the run is found by FailedSites');
        await sleep(200);
      }
    });
  },
);

test('histories carry ids and counts: no file names, no digests, no credentials', { timeout: 120_000 }, async (t) => {
  const world = await aWorld(t);
  await world.release([aPackage('secretly-named-package', '1.0')]);
  await world.update();
  await world.verify();

  await world.withTemporal(async (client) => {
    const history = await client.workflow.getHandle('distribution/bookworm').fetchHistory();
    const text = (history.events ?? []).map(readable).join('\n');
    assert.match(text, /syncBlobs/);
    assert.doesNotMatch(text, /secretly-named-package/);
    assert.doesNotMatch(text, /[0-9a-f]{64}/);
    assert.doesNotMatch(text, /AccountKey|Eby8vdM0|SharedAccessSignature|postgresql:/);
  });
});

test('it would be seen if an activity answered with file names', { timeout: 120_000 }, async (t) => {
  const world = await aWorld(t, {
    activities: (real) => ({
      ...real,
      planSync: async (input) => ({ ...(await real.planSync(input)), paths: ['pool/main/s/secretly-named-package.deb'] }),
    }),
  });
  await world.release([aPackage('secretly-named-package', '1.0')]);
  await world.update();

  await world.withTemporal(async (client) => {
    const history = await client.workflow.getHandle('distribution/bookworm').fetchHistory();
    assert.match((history.events ?? []).map(readable).join('\n'), /secretly-named-package/);
  });
});

const textOf = (payload: Payload | null | undefined): string | undefined =>
  payload ? defaultPayloadConverter.fromPayload<string>(payload) : undefined;

/** Payloads are bytes in a history: everything that could be read in the UI, as text. */
const readable = (event: object): string =>
  JSON.stringify(event, (_key, value: unknown) =>
    value instanceof Uint8Array || (typeof value === 'object' && value !== null && (value as { type?: string }).type === 'Buffer')
      ? Buffer.from(value as Uint8Array).toString('latin1')
      : value,
  );
