import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';

import type { Activities } from '../../activities/index.ts';
import { writeStanza, type BinaryPackage } from '../../src/made-archive/deb-package.ts';
import { createAptClient } from '../../src/witness/apt-client.ts';
import type { Client } from '../../src/witness/client.ts';
import { NEEDS_APT } from '../support/needs.ts';
import type { WorldSite } from '../support/world-site.ts';
import { aPackage, aWorld, type Planted, type World } from '../support/world.ts';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** A world whose one distribution is flat: everything lies in one folder of the archive. */
async function aFlatWorld(t: TestContext, suite: string, planted?: Planted): Promise<World> {
  const world = await aWorld(t, {
    worker: 'none',
    planted,
  });
  await world.tune({ suite });
  await world.startWorker();
  return world;
}

/** @param written how Packages names a file of that name */
async function releaseFlat(
  world: World,
  folder: string,
  packages: readonly BinaryPackage[],
  written: (name: string) => string,
): Promise<void> {
  const stanzas = packages.map(({ control, file }) =>
    writeStanza(
      new Map([
        ...control,
        ['Filename', written(file.name)],
        ['Size', String(file.bytes.length)],
        ['SHA256', sha256(file.bytes)],
      ]),
    ),
  );
  const index = Buffer.from(stanzas.join('\n'));
  const indices = [
    ['Packages', index],
    ['Packages.gz', gzipSync(index)],
  ] as const;
  const date = new Date(Date.now() - 60_000).toUTCString().replace('GMT', 'UTC');
  const sums = indices
    .map(([name, bytes]) => ` ${sha256(bytes)} ${bytes.length} ${name}\n`)
    .join('');
  const fields = `Origin: debgeo\nSuite: flat\nArchitectures: amd64\nDate: ${date}\n`;
  const release = `${fields}SHA256:\n${sums}`;
  const place = join(world.archiveFolder, folder);
  await mkdir(place, { recursive: true });
  for (const { file } of packages) await writeFile(join(place, file.name), file.bytes);
  for (const [name, bytes] of indices) await writeFile(join(place, name), bytes);
  await writeFile(join(place, 'InRelease'), await world.key.signClear(release));
}

function binary(name: string, version: string): BinaryPackage {
  const made = aPackage(name, version);
  assert.ok(made.kind === 'binary');
  return made;
}

const aFlatApt = (world: World, site: WorldSite, suite: string): Promise<Client> =>
  createAptClient({
    url: site.aptUrl,
    suite,
    components: [],
    architecture: 'amd64',
    keyring: world.key.publicBinary,
    folder: join(world.folder, 'flat-apt', site.name, suite.replaceAll('/', '-')),
  });

async function aptInstalls(
  t: TestContext,
  suite: string,
  folder: string,
  planted?: Planted,
): Promise<void> {
  const world = await aFlatWorld(t, suite, planted);
  const hello = binary('hello', '1.0~1+b1');
  await releaseFlat(world, folder, [hello], (name) => join(folder, name));

  await world.update();

  for (const site of world.sites.values()) {
    const apt = await aFlatApt(world, site, suite);
    const updated = await apt.update({ fresh: true });
    const installed = await apt.installDownloadOnly('hello');
    assert.equal(updated.exitCode, 0, updated.output);
    assert.equal(installed.exitCode, 0, installed.output);
    assert.deepEqual(
      installed.files.map((file) => file.sha256),
      [sha256(hello.file.bytes)],
    );
    const status = await world.siteStatus(site.name);
    assert.deepEqual(
      [status.state, status.verified, status.class],
      ['synced', status.members, 'windowed'],
    );
  }
}

for (const [suite, folder] of [
  ['sub/', 'sub'],
  ['/', ''],
] as const)
  test(`apt installs from both sites what a flat archive in ${suite} released`, NEEDS_APT, (t) =>
    aptInstalls(t, suite, folder),
  );

test(
  'apt that is told ./ finds nothing at a site, which is why it is no suite',
  NEEDS_APT,
  async (t) => {
    const world = await aFlatWorld(t, '/');
    await releaseFlat(world, '', [binary('hello', '1.0')], (name) => name);
    await world.update();

    const [updated, told] = await Promise.all(
      ['/', './'].map(async (suite) =>
        (await aFlatApt(world, world.site('fra'), suite)).update({ fresh: true }),
      ),
    );

    assert.equal(updated!.exitCode, 0, updated!.output);
    assert.equal(told!.exitCode, 100, told!.output);
  },
);

async function isRefused(t: TestContext, planted?: Planted): Promise<void> {
  const world = await aFlatWorld(t, '/', planted);
  await releaseFlat(world, '', [binary('hello', '1.0')], (name) => `./${name}`);

  const found = await world.look();

  assert.deepEqual([found.outcome, found.report?.code], ['failed', 'PATH_UNREADABLE']);
  assert.equal((await world.incidents('PATH_UNREADABLE')).length, 1);
  for (const site of world.sites.values())
    assert.deepEqual([...(await site.contents()).keys()], []);
}

test('names that apt cannot ask a site for: a flat archive is refused, nothing copied', (t) =>
  isRefused(t));

test('it would be seen', { ...NEEDS_APT, concurrency: true }, async (t) => {
  await Promise.all([
    t.test('if files of a flat archive went to where only the root of an archive has them', (t) => {
      const misplacing = (real: Activities, world: World): Activities => ({
        ...real,
        publishSnapshot: async (input) => {
          const answer = await real.publishSnapshot(input);
          const site = world.site(input.site);
          for (const path of (await site.contents()).keys()) {
            if (!path.endsWith('.deb')) continue;
            await site.blob(path.replace('/sub/', '/')).uploadData(await site.read(path));
            await site.blob(path).delete();
          }
          return answer;
        },
      });
      return assert.rejects(aptInstalls(t, 'sub/', 'sub', misplacing), /Failed to fetch/);
    }),
    t.test('if ./ were taken off the names', (t) => {
      const normalising = (real: Activities, world: World): Activities => ({
        ...real,
        captureSnapshot: async (input) => {
          await releaseFlat(world, '', [binary('hello', '1.0')], (name) => name);
          return real.captureSnapshot(input);
        },
      });
      return assert.rejects(isRefused(t, normalising), assert.AssertionError);
    }),
  ]);
});
