import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';

import { sql } from 'kysely';

import { run } from '../../src/database/sql.ts';
import { readDetached } from '../../src/witness/ask-as-apt.ts';
import { NEEDS_APT } from '../support/needs.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld, type Planted, type World } from '../support/world.ts';

const RELEASE_GPG = 'dists/bookworm/Release.gpg';

/**
 * The archive releases twice; beside its second InRelease and Release stands the Release.gpg of the
 * first.
 */
async function aWorldThatLags(t: TestContext, planted?: Planted): Promise<World> {
  const world = await aWorld(t, {
    sites: ['fra'],
    planted,
  });
  await world.release([aPackage('hello', '1.0')]);
  await world.update();
  const lagging = await world.releasedFile(RELEASE_GPG);
  await world.release([aPackage('hello', '2.0')]);
  await writeFile(join(world.archiveFolder, RELEASE_GPG), lagging);
  await world.update();
  return world;
}

/**
 * What a client finds that knows no InRelease: null where it stops at a 404, and an error where it
 * is given half of two releases.
 */
async function readAsOldClient(world: World): Promise<string | null> {
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
}

test(
  'a Release.gpg that lags: apt reads on, an older client is never given half of two releases',
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
      String(await world.releasedFile('dists/bookworm/Release')),
    );
    await assertWhole(world, 'fra');
  },
);

test('it would be seen if a capture took the Release.gpg that lags', async (t) => {
  const world = await aWorldThatLags(t, (real, around) => ({
    ...real,
    captureSnapshot: async (input) => {
      const captured = await real.captureSnapshot(input);
      const lagging = await around.releasedFile(RELEASE_GPG);
      await run(
        around.database.read,
        sql`update distribution_snapshots set release_gpg = ${lagging}`,
      );
      return captured;
    },
  }));

  await assert.rejects(readAsOldClient(world));
});
