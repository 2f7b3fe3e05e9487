/** What `doctor` and `update` say when a workflow takes nothing up. */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { NativeConnection, Worker } from '@temporalio/worker';

import { examineWorkflow } from '../../../src/temporal/health.ts';
import { QUEUE, workflowId } from '../../../workflows/messages.ts';
import { debgeo } from '../../support/debgeo.ts';
import { aPackage, aWorld, type World } from '../../support/world.ts';

const BROKEN = fileURLToPath(new URL('../../support/broken-workflows.ts', import.meta.url));

/** A worker of a version that has a bug, until the returned function is called. */
async function startBroken(world: World): Promise<() => Promise<void>> {
  const connection = await NativeConnection.connect({ address: world.temporalAddress });
  const worker = await Worker.create({
    connection,
    namespace: world.namespace,
    taskQueue: QUEUE,
    workflowsPath: BROKEN,
  });
  const ended = worker.run();
  return async () => {
    worker.shutdown();
    await ended;
    await connection.close();
  };
}

async function untilItFails(world: World): Promise<void> {
  const id = workflowId(world.suite);
  for (const deadline = Date.now() + 60_000; ; await sleep(300)) {
    assert.ok(Date.now() < deadline, 'the workflow fails');
    const answer = await world
      .withTemporal((client) => examineWorkflow(client, id))
      .catch((error: unknown) => error);
    if (answer instanceof Error) return;
  }
}

test('doctor and update say that a workflow fails, why, what to type', async (t: TestContext) => {
  const world = await aWorld(t);
  await world.release([aPackage('hello', '1.0')]);
  await world.update();
  const healthy = await debgeo(world, 'doctor');
  assert.match(healthy.stdout, /^ok +workflow of bookworm: runs/m);
  assert.match(healthy.stdout, /^ok +worker of debian: /m);
  await world.stopWorker();

  const stopBroken = await startBroken(world);
  await world.command('retry');
  await untilItFails(world);
  const [doctor, update] = await Promise.all([
    debgeo(world, 'doctor'),
    debgeo(world, `update ${world.suite}`),
  ]);
  await stopBroken();

  assert.equal(doctor.exitCode, 1);
  assert.match(doctor.stdout, /^wrong +distribution\/bookworm: WORKFLOW_FAILING/m);
  assert.match(doctor.stdout, /this version has a bug|determinism/i);
  assert.doesNotMatch(doctor.stdout, /workflow of bookworm: NO_WORKER/);
  const typed = /temporal workflow terminate --namespace \S+ --workflow-id distribution\/bookworm/;
  assert.match(doctor.stdout.replaceAll(/\s+/g, ' '), typed);
  assert.equal(update.exitCode, 1);
  assert.match(update.stderr, /WORKFLOW_FAILING/);

  await world.withTemporal((client) =>
    client.workflow.getHandle(workflowId(world.suite)).terminate(),
  );
  await world.startWorker();
  await world.release([aPackage('hello', '2.0')]);
  await world.update();
});

test('a signal of another encoding stops nothing, and nothing is said of it', async (t) => {
  const world = await aWorld(t);
  await world.release([aPackage('hello', '1.0')]);
  await world.update();

  await world.withTemporal((client) =>
    client.workflowService.signalWorkflowExecution({
      namespace: world.namespace,
      workflowExecution: { workflowId: workflowId(world.suite) },
      signalName: 'pause',
      input: {
        payloads: [
          {
            metadata: { encoding: Buffer.from('json/protobuf') },
            data: Buffer.from('{"site":"fra"}'),
          },
        ],
      },
    }),
  );
  await world.release([aPackage('hello', '2.0')]);

  assert.equal((await debgeo(world, `update ${world.suite} --wait`)).exitCode, 0);
  assert.match((await debgeo(world, 'doctor')).stdout, /^ok +workflow of bookworm: runs/m);
});
