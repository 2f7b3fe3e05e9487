/**
 * Between the first published name and InRelease there is no other way than through: not for
 * cancel, not for a failure, not for a newer release.
 */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { sql } from 'kysely';

import type { Activities } from '../../activities/index.ts';
import { run } from '../../src/database/sql.ts';
import { NEEDS_APT } from '../support/needs.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld, type Planted, type World } from '../support/world.ts';

const PACKAGES = 'debian/dists/bookworm/main/binary-amd64/Packages.gz';
/** For what a planted fault keeps from coming. */
const SOON_MS = 5_000;

const aSite = (t: TestContext, planted?: Planted): Promise<World> =>
  aWorld(t, { sites: ['fra'], planted });

async function aCancelGoesThrough(t: TestContext, planted?: Planted): Promise<void> {
  const world = await aSite(t, planted);
  await world.release([aPackage('hello', '1.0')]);
  await world.update();
  await world
    .site('fra')
    .proxy.setRules([
      { method: 'PUT', target: 'dists/bookworm/(main|Release)', fault: { kind: 'delay', ms: 400 } },
    ]);
  await world.release([aPackage('hello', '2.0')]);
  await world.look();
  await publicationIsOpen(world);

  await world.command('cancel', 'fra');
  await world.until(
    ({ sites }) => sites[0]!.served === 2,
    'generation 2 goes through',
    world.suite,
    planted && SOON_MS,
  );

  await assertWhole(world, 'fra');
  assert.equal(await world.site('fra').aptSees('hello', 'bookworm'), '2.0');
}

async function aFailureGoesThrough(t: TestContext, planted?: Planted): Promise<void> {
  const world = await aSite(t, planted);
  await world.release([aPackage('hello', '1.0')]);
  await world.update();
  await world
    .site('fra')
    .proxy.setRules([
      { method: 'PUT', target: 'dists/bookworm/InRelease', fault: { kind: 'cut' } },
    ]);
  await world.release([aPackage('hello', '2.0')]);
  await world.look();
  await world.until(({ sites }) => sites[0]!.failure !== null, 'InRelease cannot be written');
  await world.release([aPackage('hello', '3.0')]);
  await world.look();
  const open = await world.replication('fra');
  assert.deepEqual([open.publishing, open.pinned, open.target], [true, 2, 3]);

  await world.site('fra').proxy.setRules([]);
  await world.until(
    ({ sites }) => sites[0]!.served === 3 && sites[0]!.state === 'synced',
    'generations 2 and 3',
  );

  assert.deepEqual(await world.servedGenerations('fra'), [1, 2, 3]);
  await assertWhole(world, 'fra');
}

async function aLostAnswerIsResolved(t: TestContext, planted?: Planted): Promise<void> {
  const world = await aSite(t, planted);
  await world.site('fra').proxy.setRules([
    { method: 'PUT', target: '/pool/', times: 2, fault: { kind: 'drop' } },
    { method: 'PUT', target: 'binary-amd64/Packages', times: 2, fault: { kind: 'drop' } },
    { method: 'PUT', target: 'dists/bookworm/InRelease', times: 2, fault: { kind: 'drop' } },
  ]);
  await world.release([aPackage('hello', '1.0')]);
  await world.update();

  await assertWhole(world, 'fra');
  assert.deepEqual(await world.servedGenerations('fra'), [1]);
}

async function aForeignWriteParks(t: TestContext, planted?: Planted): Promise<void> {
  const world = await aSite(t, planted);
  await world.release([aPackage('hello', '1.0')]);
  await world.update();
  const foreign = world.site('fra').blob(PACKAGES);
  await foreign.uploadData(Buffer.from('foreign'));
  await world.release([aPackage('hello', '2.0')]);
  await world.look();

  const status = await world.until(
    ({ sites }) => sites[0]!.failure !== null,
    'the lane parks',
    world.suite,
    planted && SOON_MS,
  );

  assert.equal(status.sites[0]!.failure!.code, 'FOREIGN_WRITE');
  assert.ok(status.sites[0]!.retryAt! - Date.now() > 50 * 60_000);
  assert.equal(status.sites[0]!.publication!.generation, 2);
  assert.equal(status.sites[0]!.served, 1);
  assert.equal((await foreign.downloadToBuffer()).toString(), 'foreign');
}

async function publicationIsOpen(world: World): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await world.replication('fra')).publishing) {
    assert.ok(Date.now() < deadline, 'the publication begins');
    await sleep(20);
  }
}

test('a cancel between two published names takes effect after InRelease', NEEDS_APT, (t) =>
  aCancelGoesThrough(t),
);
test(
  'a failure between two published names is retried with its generation before a newer one',
  NEEDS_APT,
  (t) => aFailureGoesThrough(t),
);
test('a write that was done and not answered is resolved by looking', NEEDS_APT, (t) =>
  aLostAnswerIsResolved(t),
);
test('a foreign write to a published name parks the lane, and is not overwritten', (t) =>
  aForeignWriteParks(t));

/** Planted: it leaves half of a publication behind. */
async function abandonPublication(world: World): Promise<void> {
  await run(world.database.read, sql`delete from publications where published_at is null`);
  await run(
    world.database.read,
    sql`update distribution_replications set pinned_generation = null`,
  );
}

test('it would be seen', { ...NEEDS_APT, concurrency: true }, async (t) => {
  await Promise.all([
    t.test('if a cancel took effect at once', (t) => {
      const hasty = (real: Activities, world: World): Activities => ({
        ...real,
        applyOrder: async (input) => {
          await abandonPublication(world);
          return real.applyOrder(input);
        },
      });
      return assert.rejects(aCancelGoesThrough(t, hasty), /generation 2 goes through/);
    }),
    t.test('if a failure went on to the newer generation', (t) => {
      const forgetful = (real: Activities, world: World): Activities => ({
        ...real,
        recordFailure: async (input) => {
          await abandonPublication(world);
          return real.recordFailure(input);
        },
      });
      return assert.rejects(aFailureGoesThrough(t, forgetful), assert.AssertionError);
    }),
    t.test('if a foreign write were overwritten', (t) => {
      const rude = (real: Activities, world: World): Activities => ({
        ...real,
        publishSnapshot: async (input) => {
          if (input.generation === 2) await world.site('fra').blob(PACKAGES).deleteIfExists();
          return real.publishSnapshot(input);
        },
      });
      return assert.rejects(aForeignWriteParks(t, rude));
    }),
  ]);
});
