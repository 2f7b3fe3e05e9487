/**
 * An archive that shows one old release for ever, rightly signed, is on record once, until it
 * releases; the sites go on serving.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { promisify } from 'node:util';

import { sql } from 'kysely';

import type { Activities } from '../../activities/index.ts';
import { aPackage, aWorld, type Planted, PLANTED_MS, type World } from '../support/world.ts';

const DAY_MS = 86_400_000;
const POLL_MS = 500;

interface Alarm {
  readonly times: number;
  readonly resolved: boolean;
}

const alarmsOf = async (world: World): Promise<Alarm[]> => {
  const { rows } = await sql<Alarm>`
    select times, resolved_at is not null as resolved from incidents where code = 'RELEASE_STALE' order by id`.execute(
    world.database.read.kysely,
  );
  return rows;
};

const isSaid = (world: World): Promise<boolean> =>
  world.status().then(({ incidents }) => incidents.some(({ code }) => code === 'RELEASE_STALE'));

const printed = async (world: World, command: string): Promise<string> => {
  const environment = {
    DATABASE_URL: world.databaseUrl,
    TEMPORAL_ADDRESS: world.temporalAddress,
    TEMPORAL_NAMESPACE: world.namespace,
  };
  const main = join(import.meta.dirname, '../../src/main.ts');
  const ran = promisify(execFile)(process.execPath, [main, command], {
    env: { ...process.env, ...environment },
  });
  return (await ran.catch((error: { stdout: string }) => error)).stdout;
};

const setStaleAfter = (world: World, ms: number | null): Promise<unknown> =>
  sql`update debian_distributions set stale_after_ms = ${ms}::bigint`.execute(
    world.database.read.kysely,
  );

const promise = async (t: TestContext, activities?: Planted): Promise<void> => {
  const world = await aWorld(t, {
    sites: ['fra'],
    ...(activities && { activities, settleMs: PLANTED_MS }),
  });
  await sql`update debian_distributions set poll_interval_ms = ${POLL_MS}`.execute(
    world.database.read.kysely,
  );
  await world.release([aPackage('hello', '1.0')], { date: new Date(Date.now() - 2 * DAY_MS) });
  await world.update();
  assert.deepEqual(await alarmsOf(world), [], 'no age is too old unless the distribution says so');
  const before = await world.site('fra').contents();

  const asked = (name: string): number =>
    world.archiveServer.requests.get(`/dists/bookworm/${name}`) ?? 0;
  await world.until(
    () => asked('InRelease') > asked('Release'),
    'the archive says that nothing changed',
  );
  await setStaleAfter(world, DAY_MS);
  await world.until(
    ({ incidents }) => incidents.some(({ code, times }) => code === 'RELEASE_STALE' && times >= 3),
    'polls find it, again and again',
    world.suite,
    activities && POLL_MS * 10,
  );

  const { status, failure, stale, sites } = await world.status();
  assert.deepEqual(
    [status, failure, stale?.code, sites[0]?.state],
    ['success', null, 'RELEASE_STALE', 'synced'],
  );
  assert.equal((await alarmsOf(world)).length, 1, 'one freeze is one incident');
  assert.deepEqual(await world.site('fra').contents(), before, 'the site keeps serving');
  if (activities === undefined) {
    assert.match(await printed(world, 'status'), /archive: RELEASE_STALE(.|\n)* do: /);
    assert.match(
      await printed(world, 'doctor'),
      /^wrong +newest release of bookworm: RELEASE_STALE/m,
    );
  }

  await world.archiveServer.refuse();
  await world.until(({ failure }) => failure !== null, 'nobody answers any more');
  assert.ok(await isSaid(world), 'an archive that is gone has not released');
  await world.archiveServer.accept();
  await world.release([aPackage('hello', '2.0')]);
  await world.until(
    ({ stale, sites: [fra] }) => stale === null && fra?.served === 2,
    'a newer release ends it',
  );
  assert.deepEqual(
    (await alarmsOf(world)).map(({ resolved }) => resolved),
    [true],
  );
};

test('a frozen archive is shown', { concurrency: true, timeout: 120_000 }, async (t) => {
  await Promise.all([
    t.test('once, by status and doctor, until it releases', (t) => promise(t)),

    t.test('it would be seen if an unchanged archive were not judged', (t) => {
      const careless = (real: Activities, world: World): Activities => ({
        ...real,
        captureSnapshot: async (input) => {
          if (input.unconditional) return real.captureSnapshot(input);
          await setStaleAfter(world, null);
          const result = await real.captureSnapshot(input);
          await setStaleAfter(world, DAY_MS);
          return result;
        },
      });
      return assert.rejects(promise(t, careless), /polls find it/);
    }),
    t.test('it would be seen if every look that is fine ended it', (t) => {
      const forgetful = (real: Activities, world: World): Activities => ({
        ...real,
        captureSnapshot: async (input) => {
          const result = await real.captureSnapshot(input);
          await sql`update incidents set resolved_at = now() where resolved_at is null`.execute(
            world.database.read.kysely,
          );
          return result;
        },
      });
      return assert.rejects(promise(t, forgetful), /polls find it/);
    }),
  ]);
});
