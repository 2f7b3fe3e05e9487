/**
 * Any client of Temporal may send a signal, in any encoding. One that no worker can read stops no
 * distribution: the next release arrives.
 */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import { workflowId } from '../../workflows/messages.ts';
import { changedBundle } from '../support/changed-workflows.ts';
import { aPackage, aWorld, nudge, PLANTED_MS, type World } from '../support/world.ts';

/** As `temporal workflow signal --input-meta encoding=…`, or a client that encrypts. */
const signal = (world: World, encoding: string): Promise<unknown> =>
  world.withTemporal((client) =>
    client.workflowService.signalWorkflowExecution({
      namespace: world.namespace,
      workflowExecution: { workflowId: workflowId(world.suite) },
      signalName: 'pause',
      input: {
        payloads: [
          { metadata: { encoding: Buffer.from(encoding) }, data: Buffer.from('{"site":"fra"}') },
        ],
      },
    }),
  );

async function promise(t: TestContext, codePath?: string): Promise<void> {
  const world = await aWorld(t, { sites: ['fra'], ...(codePath && { codePath }) });
  await world.release([aPackage('hello', '1.0')]);
  await world.update();

  for (const encoding of ['json/protobuf', 'binary/encrypted']) await signal(world, encoding);
  await world.release([aPackage('hello', '2.0')]);
  await nudge(world);
  await world.until(
    ({ sites }) => sites.every(({ served, state }) => served === 2 && state === 'synced'),
    'the next release is everywhere',
    undefined,
    codePath === undefined ? undefined : PLANTED_MS,
  );

  assert.equal(await world.site('fra').aptSees('hello', world.suite), '2.0');
  assert.equal((await world.replication('fra')).paused, false, 'what cannot be read is no command');
}

test('a signal that cannot be read stops nothing', (t) => promise(t));

test('its test notices a worker that throws at what it cannot read', async (t) => {
  const throwing = await changedBundle(t, {
    file: 'workflows/payload-converter.ts',
    from: 'return unreadable as T;',
    to: 'throw unreadable;',
  });

  await assert.rejects(promise(t, throwing), assert.AssertionError);
});
