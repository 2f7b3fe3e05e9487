/**
 * SIGTERM in the middle of a slice, as a deployment does it: what was copied is committed, the
 * process ends well and in time, and the next worker goes on. Nobody sees a failure: not status,
 * and not Temporal, which would count the attempt.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { ApplicationFailure } from '@temporalio/common';

import { LIMITS } from '../../src/domain/limits.ts';
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
    const exitCode = await world.terminateWorker();
    const took = performance.now() - from;

    assert.equal(exitCode, 0);
    assert.ok(took < STOP_MS + 5_000, `it took ${took} ms to stop`);
    const stopped = await world.siteStatus('fra');
    const written = await writes(world);
    assert.ok(
      stopped.filesDone > 0 && stopped.filesDone < stopped.filesTotal,
      `${stopped.filesDone} of ${stopped.filesTotal}`,
    );
    assert.deepEqual([stopped.state, stopped.failure, stopped.retryCount], ['started', null, 0]);
    assert.ok(
      written.ok - stopped.filesDone <= LIMITS.laneConcurrency,
      `${written.ok} files were written, ${stopped.filesDone} are committed`,
    );

    await world.site('fra').proxy.setRules([]);
    await world.startWorker();
    await world.until(
      ({ sites }) => sites.every((site) => site.served === 1 && site.state === 'synced'),
      'generation 1',
    );

    const after = await writes(world);
    assert.equal(after.paths, after.ok, 'a path got a second write that succeeded');
    assert.ok(after.conflicts <= LIMITS.laneConcurrency, `${after.conflicts} writes were repeated`);
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
const intoTheMiddle = async (world: World): Promise<void> => {
  const { proxy } = world.site('fra');
  await proxy.setRules([{ method: 'PUT', fault: { kind: 'delay', ms: 120 } }]);
  await world.release(
    Array.from({ length: FILES }, (_, index) => aPackage(`many-${index}`, '1.0', randomBytes(200))),
  );
  await nudge(world);
  await world.until(({ sites }) => sites[0]!.filesDone > 0, 'a batch is committed');
  const seen = (await writes(world)).requests;
  while ((await writes(world)).requests < seen + 40) await sleep(20);
};

const writes = async (
  world: World,
): Promise<{ requests: number; ok: number; paths: number; conflicts: number }> => {
  const puts = (await world.site('fra').proxy.requests()).filter(
    (request) => request.method === 'PUT' && /\/(pool|by-hash)\//.test(request.path),
  );
  const ok = puts.filter((put) => put.done !== null && put.done >= 200 && put.done < 300);
  const conflicts = puts.filter((put) => put.done === 409 || put.done === 412);
  return {
    requests: puts.length,
    ok: ok.length,
    paths: new Set(ok.map((put) => put.path)).size,
    conflicts: conflicts.length,
  };
};

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

const saysWhose = (world: World, lines: readonly string[]): void => {
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
};
