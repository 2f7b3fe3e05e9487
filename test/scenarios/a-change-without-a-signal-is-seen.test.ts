import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { applyConfiguration } from '../../src/database/configuration/apply-configuration.ts';
import { queryStatus } from '../../src/temporal/describe.ts';
import { aConfiguration } from '../support/configuration.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld, placeOf, type World } from '../support/world.ts';

/** Applied while Temporal was away: the row of the site is written, and no signal is sent. */
async function moveAlone(world: World, name: string): Promise<void> {
  const place = { ...placeOf(world.site(name)), worker_group: 'asia' };
  const { sites } = aConfiguration({ sites: { [name]: place }, distributions: [] });
  await applyConfiguration(world.database, { archives: {}, sites, distributions: {} }, false);
}

const queueOf = async (world: World, name: string): Promise<string | undefined> => {
  const roster = await world.withTemporal((client) => queryStatus(client, world.suite));
  return roster?.replications.find(({ site }) => site === name)?.queue;
};

const promise = async (t: TestContext, reconcileMs: number): Promise<void> => {
  const world = await aWorld(t, { reconcileMs });
  await world.release([aPackage('hello', '1.0')]);
  await world.update();

  await moveAlone(world, 'sin');
  for (const deadline = Date.now() + 10_000; ; await sleep(200)) {
    if ((await queueOf(world, 'sin')) === 'debgeo-site-asia') break;
    assert.ok(Date.now() < deadline, 'the workflow has the new queue');
  }
  await world.release([aPackage('hello', '2.0')]);
  await world.update();
  await assertWhole(world, 'sin');
};

test('a site that was changed alone, without a signal, reaches its lanes', (t) => promise(t, 500));

test('it would be seen if no worker compared what was changed with what was seen', async (t) => {
  await assert.rejects(promise(t, 3_600_000), assert.AssertionError);
});
