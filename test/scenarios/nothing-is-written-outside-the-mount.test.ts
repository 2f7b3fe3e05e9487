import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import type { Activities } from '../../activities/index.ts';
import { aPackage, aWorld, type Planted, PLANTED_MS, type World } from '../support/world.ts';

const promise = async (t: TestContext, activities?: Planted): Promise<void> => {
  const world = await aWorld(t, {
    sites: ['fra'],
    ...(activities && { activities, settleMs: PLANTED_MS }),
  });
  await world.release([aPackage('hello', '1.0'), aPackage('odd+name~1', '1.0')]);
  await world.update();

  for (const filename of [
    '../../../escaped.deb',
    '/absolute.deb',
    'pool/..%2f..%2fescaped.deb',
    'pool\\escaped.deb',
    'dists/bookworm/InRelease',
    'http://x/y.deb',
  ]) {
    await world.releaseHostile(filename);
    assert.equal((await world.look()).report?.code, 'HOSTILE_PATH', filename);
  }

  const { container } = world.site('fra');
  const names = [...(await world.site('fra').contents()).keys()];
  assert.ok(names.length > 0);
  assert.deepEqual(
    names.filter((name) => !name.startsWith('debian/')),
    [],
  );
  const puts = (await world.site('fra').proxy.requests()).filter(({ method }) => method === 'PUT' || method === 'DELETE');
  for (const { path } of puts) assert.ok(path.includes(`/${container.containerName}/debian/`), path);
};

test('nothing is written outside the mount, whatever an index says', (t) => promise(t));

test('it would be seen if something were', async (t) => {
  const astray = (real: Activities, world: World): Activities => ({
    ...real,
    planSync: async (input) => {
      await world.site(input.site).container.getBlockBlobClient('elsewhere/escaped.deb').uploadData(Buffer.from('astray'));
      return real.planSync(input);
    },
  });

  await assert.rejects(promise(t, astray), assert.AssertionError);
});
