/**
 * An archive that shows one old release for ever, rightly signed, is on record once, until it
 * releases; the sites go on serving.
 */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import type { Activities } from '../../activities/index.ts';
import { debgeo } from '../support/debgeo.ts';
import { forgetful } from '../support/forgetful.ts';
import { aPackage, aWorld, type Planted, type World } from '../support/world.ts';

const DAY_MS = 86_400_000;
const POLL_MS = 500;

const isSaid = (world: World): Promise<boolean> =>
  world.status().then(({ incidents }) => incidents.some(({ code }) => code === 'RELEASE_STALE'));

const printed = async (world: World, command: string): Promise<string> =>
  (await debgeo(world, command)).stdout;

async function promise(t: TestContext, planted?: Planted): Promise<void> {
  const world = await aWorld(t, {
    sites: ['fra'],
    planted,
  });
  await world.tune({ pollMs: POLL_MS });
  await world.release([aPackage('hello', '1.0')], { date: new Date(Date.now() - 2 * DAY_MS) });
  await world.update();
  assert.deepEqual(
    await world.incidents('RELEASE_STALE'),
    [],
    'no age is too old unless the distribution says so',
  );
  const before = await world.site('fra').contents();

  const asked = (name: string): number =>
    world.archiveServer.requests.get(`/dists/bookworm/${name}`) ?? 0;
  await world.until(
    () => asked('InRelease') > asked('Release'),
    'the archive says that nothing changed',
  );
  await world.tune({ staleAfterMs: DAY_MS });
  await world.until(
    ({ incidents }) => incidents.some(({ code, times }) => code === 'RELEASE_STALE' && times >= 3),
    'polls find it, again and again',
    world.suite,
    planted && POLL_MS * 10,
  );

  const { status, failure, stale, sites } = await world.status();
  assert.deepEqual(
    [status, failure, stale?.code, sites[0]?.state],
    ['success', null, 'RELEASE_STALE', 'synced'],
  );
  assert.equal((await world.incidents('RELEASE_STALE')).length, 1, 'one freeze is one incident');
  assert.deepEqual(await world.site('fra').contents(), before, 'the site keeps serving');
  if (planted === undefined) {
    assert.match(await printed(world, 'status'), /archive: RELEASE_STALE(.|\n)* do: /);
    assert.match(
      await printed(world, 'doctor'),
      /^wrong +newest release of bookworm: RELEASE_STALE/m,
    );
  }

  await world.archiveServer.refuse();
  await world.until(({ failure }) => failure !== null, 'the archive answers no more');
  assert.ok(await isSaid(world), 'an archive that is gone has not released');
  await world.archiveServer.accept();
  await world.release([aPackage('hello', '2.0')]);
  await world.until(
    ({ stale, sites: [fra] }) => stale === null && fra?.served === 2,
    'a newer release ends it',
  );
  assert.deepEqual(
    (await world.incidents('RELEASE_STALE')).map(({ resolved }) => resolved),
    [true],
  );
}

test('a frozen archive is shown', { concurrency: true, timeout: 120_000 }, async (t) => {
  await Promise.all([
    t.test('once, by status and doctor, until it releases', (t) => promise(t)),

    t.test('it would be seen if an unchanged archive were not judged', (t) => {
      const careless = (real: Activities, world: World): Activities => ({
        ...real,
        captureSnapshot: async (input) => {
          if (input.unconditional) return real.captureSnapshot(input);
          await world.tune({ staleAfterMs: null });
          const result = await real.captureSnapshot(input);
          await world.tune({ staleAfterMs: DAY_MS });
          return result;
        },
      });
      return assert.rejects(promise(t, careless), /polls find it/);
    }),
    t.test('it would be seen if every look that is fine ended it', (t) => {
      return assert.rejects(promise(t, forgetful), /polls find it/);
    }),
  ]);
});
