/**
 * PostgreSQL is restored from a backup while two sites serve what was released since, and Temporal
 * holds the rows of before. Nothing is typed: status equals a walk again, no file is changed or
 * deleted, and clients install from both sites all the time.
 */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { NEEDS_APT } from '../support/needs.ts';
import { readAllTheTime } from '../support/readers.ts';
import { copyOfDatabase, restoreDatabase } from '../support/servers.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld, PLANTED_MS, type Planted, type World } from '../support/world.ts';

const STABLE = aPackage('stable', '1.0');

async function release(world: World, version: string): Promise<void> {
  await world.release([STABLE, aPackage('hello', version)]);
  await world.update();
}

/** Each file that clients read, with its version. */
async function filesOf(world: World): Promise<string[]> {
  const files: string[] = [];
  for (const { container } of world.sites.values())
    for await (const { name, properties } of container.listBlobsFlat())
      if (!name.includes('.debgeo/')) files.push(`${name} ${properties.etag}`);
  return files;
}

async function promise(t: TestContext, planted?: Planted): Promise<void> {
  const world = await aWorld(t, planted ? { activities: planted } : {});
  for (const version of ['1.0', '2.0']) await release(world, version);
  const backup = await copyOfDatabase(world.databaseUrl);
  for (const version of ['3.0', '4.0']) await release(world, version);
  const readers = await readAllTheTime(world);
  await world.stopWorker();
  const before = await filesOf(world);

  await restoreDatabase(world.databaseUrl, backup);
  await world.startWorker();

  await world.until(
    ({ status, generation }) => status === 'success' && generation === 3,
    'the newest release is published over what was lost',
    world.suite,
    planted ? PLANTED_MS : 60_000,
  );
  const cycles = readers.cycles();
  while (readers.cycles() < cycles + 2) await sleep(50);
  assert.deepEqual((await readers.stop()).failures, []);
  assert.deepEqual(await filesOf(world), before, 'nothing that clients read was changed');
  for (const site of world.sites.keys()) {
    const walk = await assertWhole(world, site);
    const { members, verified, served } = await world.siteStatus(site);
    assert.deepEqual([members, verified, served], [walk.members, walk.members, 3]);
  }
  assert.ok((await world.incidents('SITE_AHEAD')).every(({ resolved }) => resolved));
  await release(world, '5.0');
  for (const site of world.sites.keys()) await assertWhole(world, site);
}

test(
  'a database that was restored leads its sites forward, without a command',
  { ...NEEDS_APT, timeout: 200_000 },
  (t) => promise(t),
);

/** Workflows that say nothing of the rows that they hold. */
const silent: Planted = (real) => ({
  ...real,
  captureSnapshot: ({ distribution, unconditional }) =>
    real.captureSnapshot({ distribution, unconditional }),
});

test(
  'it would not if workflows believed themselves more than the database',
  { ...NEEDS_APT, timeout: 200_000 },
  (t) => assert.rejects(promise(t, silent), { code: 'ERR_ASSERTION' }),
);
