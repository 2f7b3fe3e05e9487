/**
 * PostgreSQL is lost while two sites serve: tables, configuration and a worker come anew, and each
 * site is adopted. Nothing is uploaded, and clients install from both all the time.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';

import { sql } from 'kysely';
import { stringify } from 'yaml';

import { run } from '../../src/database/sql.ts';
import { debgeo } from '../support/debgeo.ts';
import { NEEDS_APT } from '../support/needs.ts';
import { readAllTheTime } from '../support/readers.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld, placeOf, TUNING, type World } from '../support/world.ts';

const STABLE = aPackage('stable', '1.0');

const ADOPT = ['adopt', '--take-over', '--reason', 'database lost'];
interface Dry {
  readonly dryRun: boolean;
  readonly suites: readonly {
    readonly adopted: { readonly served: number; readonly releases: readonly unknown[] };
  }[];
}

async function fileOf(world: World): Promise<string> {
  const keyring = join(world.folder, 'archive.gpg');
  await writeFile(keyring, world.key.publicArmored);
  const path = join(world.folder, 'debgeo.yaml');
  const file = {
    archives: {
      debian: { url: world.archiveServer.url, mount: 'debian', keyring, private_network: true },
    },
    sites: Object.fromEntries([...world.sites].map(([name, site]) => [name, placeOf(site)])),
    distributions: {
      bookworm: { archive: 'debian', suite: 'bookworm', sites: [...world.sites.keys()] },
    },
  };
  await writeFile(path, stringify(file));
  return path;
}

/** @returns what it printed */
async function ran(world: World, words: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await debgeo(world, words);
  assert.equal(exitCode, 0, `debgeo ${words.join(' ')}\n${stdout}${stderr}`);
  return stdout;
}

const lose = (world: World): Promise<unknown> =>
  run(
    world.database.read,
    sql`
      do $$
      begin
        drop schema public cascade;
        create schema public;
      end $$`,
  );

/** Writes that came as far as a site, but for those of what debgeo keeps for itself. */
async function uploads(world: World): Promise<string[]> {
  const requests = await Promise.all(
    [...world.sites.values()].map(({ proxy }) => proxy.requests()),
  );
  return requests
    .flat()
    .filter(({ method, path }) => /PUT|DELETE/.test(method) && !path.includes('/.debgeo/'))
    .map(({ method, path }) => `${method} ${path}`);
}

async function promise(t: TestContext): Promise<void> {
  const world = await aWorld(t, { worker: 'child' });
  await world.startWorkerIfGone();
  for (const version of ['1.0', '2.0', '3.0']) {
    await world.release([STABLE, aPackage('hello', version)]);
    await world.update();
  }
  const file = await fileOf(world);
  const readers = await readAllTheTime(world);
  await world.stopWorker();
  for (const site of world.sites.values()) await site.proxy.clear();

  await lose(world);
  await ran(world, ['migrate']);
  await ran(world, ['apply', file]);
  await world.tune({ waits: TUNING });
  await world.startWorker();
  await world.until(
    ({ sites }) => sites.every(({ failure }) => failure?.code === 'SITE_TAKEN'),
    'lanes are parked',
  );
  const dry = await ran(world, [...ADOPT, 'fra', '--dry-run', '--json']);
  const { dryRun, suites } = JSON.parse(dry) as Dry;
  assert.equal(dryRun, true);
  assert.deepEqual([suites[0]!.adopted.served, suites[0]!.adopted.releases.length], [4, 3]);
  for (const site of world.sites.keys()) {
    const said = await ran(world, [...ADOPT, site]);
    assert.match(said, /is adopted[^]*bookworm: 3 releases of the site[^]*is served/);
  }

  await world.until(({ status }) => status === 'success', 'success');
  const cycles = readers.cycles();
  while (readers.cycles() < cycles + 2) await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual((await readers.stop()).failures, []);
  assert.deepEqual(await uploads(world), []);
  for (const site of world.sites.keys()) {
    const walk = await assertWhole(world, site);
    assert.equal((await world.siteStatus(site)).verified, walk.members);
  }
  const adopted = await world.events('site adopted');
  assert.deepEqual(
    adopted.map(({ facts }) => facts['reason']),
    ['database lost', 'database lost'],
  );
  await world.release([STABLE, aPackage('hello', '4.0')]);
  await world.update();
  for (const site of world.sites.keys()) await assertWhole(world, site);
}

test(
  'a lost database is adopted from two sites that serve all the time',
  { ...NEEDS_APT, timeout: 280_000 },
  promise,
);
