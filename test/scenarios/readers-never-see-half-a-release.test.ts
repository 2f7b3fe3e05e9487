import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Activities } from '../../activities/index.ts';
import { NEEDS_APT } from '../support/needs.ts';
import { readAllTheTime } from '../support/readers.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld, type Planted, type World } from '../support/world.ts';

async function promise(t: TestContext, releases: number, planted?: Planted): Promise<void> {
  const world = await aWorld(t, {
    planted,
  });
  const kept = Array.from({ length: 8 }, (_, index) => aPackage(`kept-${index}`, '1.0'));
  await world.release([...kept, aPackage('changing', '1.0')]);
  await world.update();
  const readers = await readAllTheTime(world);

  for (let release = 2; release <= releases; release++) {
    await world.release([...kept, aPackage('changing', `${release}.0`)]);
    await world.update();
  }

  const { failures, cycles, overlaps } = await readers.stop();
  assert.deepEqual(failures, []);
  assert.ok(overlaps > 0, `${cycles.length} cycles, none overlapped a publication`);
  for (const site of world.sites.keys()) await assertWhole(world, site);
}

test(
  'readers never see half a release while the archive releases again and again',
  { ...NEEDS_APT, timeout: 240_000 },
  (t) => promise(t, 8),
);

test('it would be seen if InRelease came first', { ...NEEDS_APT, timeout: 240_000 }, async (t) => {
  const inReleaseFirst = (real: Activities, world: World): Activities => ({
    ...real,
    syncBlobs: async (input) => {
      if (input.generation > 1) {
        const inRelease = world.site(input.site).blob('debian/dists/bookworm/InRelease');
        await inRelease.uploadData(await world.releasedFile('dists/bookworm/InRelease'));
        await sleep(1_500);
      }
      return real.syncBlobs(input);
    },
  });

  await assert.rejects(promise(t, 3, inReleaseFirst), /exit code 100/, 'apt itself has seen it');
});
