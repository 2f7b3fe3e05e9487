import assert from 'node:assert/strict';
import test from 'node:test';

import type { Ran } from '../support/child.ts';
import { debgeo } from '../support/debgeo.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld, type World } from '../support/world.ts';

const [DONE, USAGE, REFUSED] = [0, 2, 3];

const update = (world: World, ...options: string[]): Promise<Ran> =>
  debgeo(world, ['update', world.suite, '--wait', ...options]);

test(
  'an older release is refused, then taken with a reason on record, once',
  { timeout: 120_000 },
  async (t) => {
    const world = await aWorld(t);
    const [first, older] = [aPackage('hello', '2.0'), aPackage('hello', '1.0')];
    const { date: newestDate } = await world.release([first]);
    await world.update();
    const date = new Date(newestDate.getTime() - 86_400_000);
    await world.release([older], { date });

    const without = await update(world);
    assert.equal(without.exitCode, REFUSED, without.stderr);
    assert.match(without.stderr, /RELEASE_ROLLBACK/);
    for (const reason of [['--accept-older'], ['--accept-older', ' ']])
      assert.equal((await update(world, ...reason)).exitCode, USAGE);
    assert.equal((await world.status()).generation, 1);

    const taken = await update(world, '--accept-older', '2.0 was withdrawn');
    assert.equal(taken.exitCode, DONE, taken.stderr);
    const status = await world.status();
    assert.deepEqual(
      [status.status, status.generation, ...status.sites.map((site) => site.served)],
      ['success', 2, 2, 2],
    );
    for (const site of world.sites.values()) {
      await assertWhole(world, site.name);
      assert.deepEqual(
        await site.read(`debian/dists/${world.suite}/InRelease`),
        await world.releasedFile(`dists/${world.suite}/InRelease`),
        'a new generation, with the older release',
      );
    }
    assert.deepEqual(
      (await world.events('accepted older')).map(({ generation, facts: { by, ...facts } }) => [
        generation,
        typeof by,
        facts,
      ]),
      [
        [
          2,
          'string',
          {
            reason: '2.0 was withdrawn',
            date: date.toISOString(),
            newestDate: newestDate.toISOString(),
          },
        ],
      ],
    );

    await world.release([first], { date: new Date(date.getTime() - 86_400_000) });
    const second = await update(world);
    assert.equal(second.exitCode, REFUSED, second.stderr);
    assert.match(second.stderr, /RELEASE_ROLLBACK/);
    assert.equal((await world.status()).generation, 2);
  },
);
