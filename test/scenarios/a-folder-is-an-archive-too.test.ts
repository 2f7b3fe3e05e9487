import assert from 'node:assert/strict';
import { rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';

import type { Activities } from '../../activities/index.ts';
import { NEEDS_APT } from '../support/needs.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld, type Planted, PLANTED_MS, type World } from '../support/world.ts';

async function aChangeReachesBothSites(t: TestContext, planted?: Planted): Promise<void> {
  const kept = aPackage('kept', '1.0');
  let meanwhile: Promise<void> | undefined;
  // Between capture and copy of generation 2 the archive releases once more, and deletes what only
  // generation 2 names.
  const releaseMeanwhile = (real: Activities, around: World): Activities => ({
    ...(planted?.(real, around) ?? real),
    syncBlobs: async (input) => {
      if (input.generation === 2)
        await (meanwhile ??= around
          .release([kept, aPackage('hello', '3.0')])
          .then((content) => around.archive().dropOld(content)));
      return real.syncBlobs(input);
    },
  });
  const world = await aWorld(t, {
    worker: 'none',
    activities: releaseMeanwhile,
    ...(planted && { settleMs: PLANTED_MS }),
  });
  await world.tune({ archiveUrl: pathToFileURL(world.archiveFolder).href });
  await world.startWorker();

  await world.release([kept, aPackage('hello', '1.0')]);
  await world.update();
  for (const site of world.sites.values())
    assert.equal(await site.aptSees('hello', 'bookworm'), '1.0');
  await world.release([kept, aPackage('hello', '2.0')]);
  await world.look();
  await world.until(() => meanwhile !== undefined, 'generation 2 is being copied');
  await meanwhile;
  await world.update();

  for (const site of world.sites.values()) {
    assert.equal(await site.aptSees('hello', 'bookworm'), '3.0');
    await assertWhole(world, site.name);
  }
  assert.deepEqual(
    await Promise.all([...world.sites.keys()].map((site) => world.servedGenerations(site))),
    [
      [1, 3],
      [1, 3],
    ],
  );
  assert.equal(world.archiveServer.requestCount(), 0, 'nothing is asked over http');
}

async function aLostFolderChangesNothing(t: TestContext, planted?: Planted): Promise<void> {
  const world = await aWorld(t, {
    worker: 'none',
    sites: ['fra'],
    planted,
  });
  await world.tune({ archiveUrl: pathToFileURL(world.archiveFolder).href });
  await world.startWorker();
  await world.release([aPackage('hello', '1.0')]);
  await world.update();
  const before = await world.site('fra').contents();
  const inRelease = join(world.archiveFolder, 'dists/bookworm/InRelease');

  await writeFile(join(world.folder, 'secret'), 'secret');
  await rm(inRelease);
  await symlink('../../../secret', inRelease);
  const leading = await world.look();
  await rm(world.archiveFolder, { recursive: true });
  const gone = await world.look();

  assert.deepEqual(
    [leading.report?.code, gone.report?.code],
    ['HOSTILE_PATH', 'ARCHIVE_UNREACHABLE'],
  );
  assert.deepEqual(await world.site('fra').contents(), before, 'the site is as it was');
}

test(
  'a change in a folder reaches both sites, also when the folder changes while it is read',
  NEEDS_APT,
  (t) => aChangeReachesBothSites(t),
);
test('a folder that is gone, or leads out of itself, changes nothing at a site', (t) =>
  aLostFolderChangesNothing(t));

test('it would be seen', { ...NEEDS_APT, concurrency: true }, async (t) => {
  await Promise.all([
    t.test(
      'if a lane waited for a person over a file that a newer generation does not need',
      (t) => {
        const parking = (real: Activities): Activities => ({
          ...real,
          recordFailure: (input) =>
            real.recordFailure({ ...input, report: { ...input.report, code: 'FOREIGN_WRITE' } }),
        });
        return assert.rejects(aChangeReachesBothSites(t, parking), /generation 3 everywhere/);
      },
    ),
    t.test('if a folder that is refused took away what is served', (t) => {
      const withdrawing = (real: Activities, world: World): Activities => ({
        ...real,
        recordCaptureFailure: async (input) => {
          await world.site('fra').blob('debian/dists/bookworm/InRelease').deleteIfExists();
          return real.recordCaptureFailure(input);
        },
      });
      return assert.rejects(aLostFolderChangesNothing(t, withdrawing), /the site is as it was/);
    }),
  ]);
});
