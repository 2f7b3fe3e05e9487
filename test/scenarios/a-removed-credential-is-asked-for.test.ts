/**
 * The variable that the credential of a site names goes away under a running worker: its own error,
 * parked; once it is back, `retry` goes on, and so does the lane by itself.
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
  assert.equal(parked.sites[0]!.served, 1);
  assert.ok(parked.sites[0]!.retryAt! - Date.now() > 50 * 60_000);
  assert.equal(back.sites[0]!.failure, null);
});

test('once it is back, the parked lane goes on by itself, and nobody types a word', async (t) => {
  const world = await aWorld(t, { sites: ['fra'] });
  await world.release([aPackage('hello', '1.0')]);
  await world.update();
  await world.tune({ waits: { gatherMs: 20, parkedMs: 2_000 } });
  const restore = await removeCredential(world);
  await world.release([aPackage('hello', '2.0')]);
  await world.look();
  const isTriedTwice = (status: { incidents: readonly { code: string; times: number }[] }) =>
    status.incidents.some(({ code, times }) => code === 'SITE_CREDENTIAL_MISSING' && times >= 2);
  const parked = await world.until(isTriedTwice, 'it is tried again');
  restore();
  const back = await world.until(
    ({ sites }) => sites[0]!.served === 2 && sites[0]!.state === 'synced',
    'generation 2',
  );

  assert.equal(parked.status, 'failed');
  assert.equal(parked.incidents.length, 1, 'one incident counts');
  assert.deepEqual([back.status, back.incidents], ['success', []]);
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
