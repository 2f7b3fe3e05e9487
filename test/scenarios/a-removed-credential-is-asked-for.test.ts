/**
 * The variable that the credential of a site names goes away under a running worker: its own error,
 * parked, and `retry` goes on once it is back.
 */
import assert from 'node:assert/strict';
import test from 'node:test';

import type { Deps } from '../../activities/deps.ts';
import { aPackage, aWorld, type World } from '../support/world.ts';

test('a removed credential parks the site with its own error; retry goes on later', async (t) => {
  const world = await aWorld(t, { sites: ['fra'] });
  await world.release([aPackage('hello', '1.0')]);
  await world.update();
  const restore = await removeCredential(world);
  await world.release([aPackage('hello', '2.0')]);

  await world.look();
  const parked = await world.until(({ sites }) => sites[0]!.failure !== null, 'the site fails');
  restore();
  await world.command('retry', 'fra');
  const back = await world.until(
    ({ sites }) => sites[0]!.served === 2 && sites[0]!.state === 'synced',
    'generation 2',
  );

  assert.equal(parked.sites[0]!.failure!.code, 'SITE_CREDENTIAL_MISSING');
  assert.deepEqual([parked.sites[0]!.served, parked.sites[0]!.retryAt], [1, null]);
  assert.equal(back.sites[0]!.failure, null);
});

test('a worker that keeps the credential it once had is seen', async (t) => {
  let kept: ReturnType<Deps['siteOf']> | undefined;
  const world = await aWorld(t, {
    sites: ['fra'],
    deps: (real) => ({ ...real, siteOf: (name) => (kept ??= real.siteOf(name)) }),
  });
  await world.release([aPackage('hello', '1.0')]);
  await world.update();
  await removeCredential(world);
  await world.release([aPackage('hello', '2.0')]);

  assert.equal(await world.update(), 2);
});

async function removeCredential(world: World): Promise<() => void> {
  const { variable } = world.site('fra');
  const value = process.env[variable];
  assert.ok(value);
  delete process.env[variable];
  return () => void (process.env[variable] = value);
}
