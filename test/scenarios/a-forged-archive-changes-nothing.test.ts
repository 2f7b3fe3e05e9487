import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import type { Activities } from '../../activities/index.ts';
import { createSigningKey } from '../../src/demo/signing-key.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld, type Planted, PLANTED_MS, type World } from '../support/world.ts';

/** Sites and catalog before and after; only incidents and the record of the look may differ. */
const stateOf = async (world: World): Promise<unknown> => ({
  sites: await Promise.all([...world.sites.values()].map((site) => site.contents())),
  generation: (await world.status()).generation,
  served: (await world.status()).sites.map((site) => [site.served, site.target, site.state, site.verified]),
});

const promise = async (t: TestContext, forge: (world: World) => Promise<unknown>, code: string, activities?: Planted): Promise<void> => {
  const world = await aWorld(t, {
    ...(activities && { activities, settleMs: PLANTED_MS }),
  });
  await world.release([aPackage('hello', '1.0')]);
  await world.update();
  const before = await stateOf(world);

  await forge(world);
  const outcome = await world.look();

  assert.equal(outcome.outcome, 'failed');
  assert.equal(outcome.report?.code, code);
  assert.ok(outcome.report?.expected !== undefined && outcome.report.found !== undefined, 'says what was expected and found');
  const status = await world.status();
  assert.equal(status.status, 'failed');
  assert.ok(status.incidents.some((incident) => incident.code === code));
  assert.deepEqual(await stateOf(world), before);
  for (const site of world.sites.keys()) await assertWhole(world, site);

  await world.release([aPackage('hello', '2.0')], { date: new Date(Date.now() + 6_000) });
  await world.update();
  assert.equal((await world.status()).status, 'success', 'a good release heals it');
};

const byAnotherKey = async (world: World): Promise<unknown> =>
  world.release([aPackage('evil', '1.0')], { key: await createSigningKey('somebody else') });
const anOlderOne = (world: World): Promise<unknown> =>
  world.release([aPackage('hello', '0.9')], { date: new Date(Date.now() - 86_400_000) });
const anExpiredOne = (world: World): Promise<unknown> =>
  world.release([aPackage('hello', '1.1')], { validUntil: new Date(Date.now() - 60_000) });

test('a release signed by another key changes nothing', (t) => promise(t, byAnotherKey, 'SIGNATURE_UNKNOWN_KEY'));
test('an older release changes nothing', (t) => promise(t, anOlderOne, 'RELEASE_ROLLBACK'));
test('an expired release changes nothing', (t) => promise(t, anExpiredOne, 'RELEASE_EXPIRED'));
test('a tampered InRelease changes nothing', (t) =>
  promise(
    t,
    (world) => world.tamper('dists/bookworm/InRelease', (text) => text.replace('Suite: bookworm', 'Suite: b00kworm')),
    'SIGNATURE_INVALID',
  ));

test('it would be seen if a refused release reached a site', async (t) => {
  const careless = (real: Activities, world: World): Activities => ({
    ...real,
    recordCaptureFailure: async (input) => {
      const bytes = await world.releasedFile('dists/bookworm/InRelease');
      await world.site('sin').container.getBlockBlobClient('debian/dists/bookworm/InRelease').uploadData(bytes);
      return real.recordCaptureFailure(input);
    },
  });

  await assert.rejects(promise(t, byAnotherKey, 'SIGNATURE_UNKNOWN_KEY', careless), assert.AssertionError);
});
