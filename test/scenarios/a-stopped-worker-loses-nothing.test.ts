/**
 * SIGTERM in the middle of a slice, as a deployment does it: what was copied is committed, the
 * process ends well and in time, and the next worker goes on. No failure is seen: not by status,
 * and not by Temporal, which would count the attempt.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { ApplicationFailure } from '@temporalio/common';

import { LIMITS } from '../../src/domain/limits.ts';
import { blobWritesAt } from '../support/blob-writes.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld, nudge, type World } from '../support/world.ts';

const STOP_MS = 500;
const FILES = 400;

test(
  'a worker that is told to stop in the middle of a slice ends well, and the next one goes on',
  { timeout: 120_000 },
  async (t) => {
    const logLines: string[] = [];
    const world = await aWorld(t, {
      worker: 'child',
      sites: ['fra'],
      environment: { DEBGEO_STOP_MS: String(STOP_MS), DEBGEO_LOG_LEVEL: 'debug' },
      logLines,
    });
    await intoTheMiddle(world);

    const from = performance.now();
    const exitCode = await world.stopWorker();
    const took = performance.now() - from;

    assert.equal(exitCode, 0);
    assert.ok(took < STOP_MS + 5_000, `it took ${took} ms to stop`);
    const stopped = await world.siteStatus('fra');
    const { written } = await blobWritesAt(world.site('fra'));
    assert.ok(
      stopped.filesDone > 0 && stopped.filesDone < stopped.filesTotal,
      `${stopped.filesDone} of ${stopped.filesTotal}`,
    );
    assert.deepEqual([stopped.state, stopped.failure, stopped.retryCount], ['started', null, 0]);
    assert.ok(
      written.length - stopped.filesDone <= LIMITS.laneConcurrency,
      `${written.length} files were written, ${stopped.filesDone} are committed`,
    );

    await world.site('fra').proxy.setRules([]);
    await world.startWorker();
    await world.until(
      ({ sites }) => sites.every((site) => site.served === 1 && site.state === 'synced'),
      'generation 1',
    );

    const after = await blobWritesAt(world.site('fra'));
    assert.equal(
      new Set(after.written).size,
      after.written.length,
      'a path got a second write that succeeded',
    );
    assert.ok(
      after.conflicts.length <= LIMITS.laneConcurrency,
      `${after.conflicts.length} writes were repeated`,
    );
    assert.deepEqual(await repeatedAttempts(world), []);
    await assertWhole(world, 'fra');
    await t.test('each line of its log says whose it is', () => saysWhose(world, logLines));
  },
);

test(
  'the witness sees a slice that is given up where the worker stops',
  { timeout: 60_000 },
  async (t) => {
    let stopping = false;
    const world = await aWorld(t, {
      sites: ['fra'],
      activities: (real) => ({
        ...real,
        syncBlobs: async (input) => {
          if (!stopping) {
            stopping = true;
            throw ApplicationFailure.retryable(
              'Worker is shutting down and this activity did not complete in time',
              'WorkerShutdown',
            ); // as Temporal's core puts it
          }
          return real.syncBlobs(input);
        },
      }),
    });
    await world.release([aPackage('hello', '1.0')]);

    await world.update();

    assert.deepEqual(await repeatedAttempts(world), ['syncBlobs']);
  },
);

/** A first generation of many files, slowly: three batches of seconds each. */
async function intoTheMiddle(world: World): Promise<void> {
  const { proxy } = world.site('fra');
  await proxy.setRules([{ method: 'PUT', fault: { kind: 'delay', ms: 120 } }]);
  await world.release(
    Array.from({ length: FILES }, (_, index) => aPackage(`many-${index}`, '1.0', randomBytes(200))),
  );
  await nudge(world);
  await world.until(({ sites }) => sites[0]!.filesDone > 0, 'a batch is committed');
  const site = world.site('fra');
  const { requests } = await blobWritesAt(site);
  while ((await blobWritesAt(site)).requests < requests + 40) await sleep(20);
}

/** The activities of which Temporal began a second attempt, or which ended badly. */
const repeatedAttempts = (world: World): Promise<string[]> =>
  world.withTemporal(async (client) => {
    const found: string[] = [];
    for await (const { workflowId, runId } of client.workflow.list()) {
      const { events = [] } = await client.workflow.getHandle(workflowId, runId).fetchHistory();
      const nameOf = (id: unknown): string =>
        events!.find((event) => String(event.eventId) === String(id))!
          .activityTaskScheduledEventAttributes!.activityType!.name!;
      for (const {
        activityTaskStartedEventAttributes: started,
        activityTaskFailedEventAttributes: failed,
      } of events ?? []) {
        if (started && Number(started.attempt) > 1) found.push(nameOf(started.scheduledEventId));
        // A worker may look before the archive of the test has released anything.
        const isTooEarly = failed?.failure?.applicationFailureInfo?.type === 'RELEASE_MISSING';
        if (failed && !isTooEarly) found.push(nameOf(failed.scheduledEventId));
      }
    }
    return found;
  });

function saysWhose(world: World, lines: readonly string[]): void {
  const found = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  const ofActivities = found.filter((line) => line['activityType'] !== undefined);
  const ofWorkflows = found.filter(
    (line) => line['workflowType'] !== undefined && line['activityType'] === undefined,
  );

  assert.ok(
    ofActivities.length > 5 && ofWorkflows.length > 0,
    `${ofActivities.length} ${ofWorkflows.length}`,
  );
  for (const line of [...ofActivities, ...ofWorkflows]) {
    const subject = String(line['workflowId']).startsWith('site/')
      ? { site: 'fra' }
      : { distribution: world.suite };
    assert.partialDeepStrictEqual(line, subject, JSON.stringify(line));
    for (const key of ['workflowId', 'runId'])
      assert.equal(typeof line[key], 'string', JSON.stringify(line));
  }
  for (const line of ofActivities)
    assert.ok(
      line['activityId'] !== undefined && Number(line['attempt']) > 0,
      JSON.stringify(line),
    );
  const ofSteps = ofActivities.filter(({ activityType }) =>
    ['syncBlobs', 'publishSnapshot'].includes(String(activityType)),
  );
  for (const line of ofSteps.filter(({ msg }) => msg !== 'Activity started'))
    // the SDK says that before it knows of what
    assert.deepEqual([line['site'], line['generation']], ['fra', 1], JSON.stringify(line));
  const own = found.find((line) => line['msg'] === 'looked at the archive');
  assert.deepEqual(
    [own?.['activityType'], own?.['workflowId']],
    ['captureSnapshot', `distribution/${world.suite}`],
  );
}
