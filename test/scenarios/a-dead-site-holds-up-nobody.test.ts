import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import type { Activities } from '../../activities/index.ts';
import type { Fault } from '../support/fault-proxy.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld, type Planted } from '../support/world.ts';

async function promise(t: TestContext, fault: Fault | 'refuse', planted?: Planted): Promise<void> {
  const world = await aWorld(t, {
    sites: ['fra', 'sin', 'syd'],
    planted,
  });
  await world.release([aPackage('hello', '1.0')]);
  await world.update();
  const { proxy } = world.site('sin');
  if (fault === 'refuse') await proxy.refuse(true);
  else await proxy.setRules([{ fault }]);

  for (const version of ['2.0', '3.0']) {
    await world.release([aPackage('hello', version)]);
    await world.look();
    const generation = (await world.status()).generation;
    await world.until(
      ({ sites }) =>
        sites.every(
          ({ site, served, state }) =>
            site === 'sin' || (served === generation && state === 'synced'),
        ),
      `${version} at the living`,
      undefined,
      20_000,
    );
  }
  const dead = await world.siteStatus('sin');
  assert.equal(dead.served, 1);
  assert.notEqual((await world.status()).status, 'success');
  for (const site of ['fra', 'syd']) await assertWhole(world, site);

  if (fault === 'refuse') await proxy.refuse(false);
  else await proxy.setRules([]);
  await world.command('retry', 'sin');
  await world.until(
    ({ status }) => status === 'success',
    'the dead site comes back',
    undefined,
    90_000,
  );
  await assertWhole(world, 'sin');
}

test('a site that refuses connections holds up nobody, and catches up when it is back', (t) =>
  promise(t, 'refuse'));
test('a site that never answers holds up nobody', { timeout: 180_000 }, (t) =>
  promise(t, { kind: 'hang' }),
);
test('a throttling site holds up nobody', (t) =>
  promise(t, { kind: 'answer', status: 503, headers: { 'retry-after': '1' } }));

test('it would be seen if the living waited for the dead', async (t) => {
  const waiting = (real: Activities): Activities => ({
    ...real,
    syncBlobs: async (input) => {
      const roster = await real.loadRoster(input);
      if (
        input.generation > 1 &&
        input.site !== 'sin' &&
        roster.replications.some((row) => row.site === 'sin' && row.served < input.generation)
      )
        throw new Error('waits for sin');
      return real.syncBlobs(input);
    },
  });

  await assert.rejects(promise(t, 'refuse', waiting), assert.AssertionError);
});
