import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import type { TestContext } from 'node:test';

import { sql } from 'kysely';

import { readDetached } from '../../src/witness/ask-as-apt.ts';
import { NEEDS_APT } from '../support/needs.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld, PLANTED_MS, type Planted, type World } from '../support/world.ts';

const RELEASE_GPG = 'dists/bookworm/Release.gpg';

/**
 * The archive releases twice; beside its second InRelease and Release stands the Release.gpg of the
 * first.
 */
const aWorldThatLags = async (t: TestContext, activities?: Planted): Promise<World> => {
  const world = await aWorld(t, {
    sites: ['fra'],
    ...(activities === undefined ? {} : { activities, settleMs: PLANTED_MS }),
  });
  await world.release([aPackage('hello', '1.0')]);
  await world.update();
  const lagging = await world.releasedFile(RELEASE_GPG);
  await world.release([aPackage('hello', '2.0')]);
  await writeFile(join(world.folder, 'archive', RELEASE_GPG), lagging);
  await world.update();
  return world;
};

/**
 * What a client finds that knows no InRelease: null where it stops at a 404, and an error where it
 * is given half of two releases.
 */
const readAsOldClient = async (world: World): Promise<string | null> => {
  const [release, releaseGpg] = await Promise.all(
    ['Release', 'Release.gpg'].map(async (name) =>
      fetch(`${world.site('fra').aptUrl}/dists/bookworm/${name}`),
    ),
  );
  if (!release!.ok || !releaseGpg!.ok) return null;
  return readDetached(
    Buffer.from(await release!.arrayBuffer()),
    Buffer.from(await releaseGpg!.arrayBuffer()),
    world.key.publicBinary,
  );
};

test(
  'apt reads a release whose Release.gpg lags, an older client is never given half of two, and what agrees again is served',
  NEEDS_APT,
  async (t) => {
    const world = await aWorldThatLags(t);
    assert.ok(
      (await readAsOldClient(world)) === null,
      'the site has no Release.gpg of another release',
    );
    assert.equal(await world.site('fra').aptSees('hello', 'bookworm'), '2.0');
    await assertWhole(world, 'fra');

    await world.release([aPackage('hello', '3.0')]);
    await world.update();

    assert.equal(
      await readAsOldClient(world),
      String(await readFile(join(world.folder, 'archive/dists/bookworm/Release'))),
    );
    await assertWhole(world, 'fra');
  },
);

test('planted fault: a capture that takes the Release.gpg that lags hands it to older clients', async (t) => {
  const world = await aWorldThatLags(t, (real, around) => ({
    ...real,
    captureSnapshot: async (input) => {
      const captured = await real.captureSnapshot(input);
      await sql`update distribution_snapshots set release_gpg = ${await around.releasedFile(RELEASE_GPG)}`.execute(
        around.database.read.kysely,
      );
      return captured;
    },
  }));

  await assert.rejects(readAsOldClient(world));
});
