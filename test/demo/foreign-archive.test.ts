/**
 * Archives that other programs made, each a folder: replicated and read by clients; and the demo of
 * them, which ends with the exit code of debgeo.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';

import {
  makeBinaryPackage,
  makeSourcePackage,
  type Package,
} from '../../src/made-archive/deb-package.ts';
import { createSigningKey } from '../../src/made-archive/signing-key.ts';
import { createAptClient } from '../../src/witness/apt-client.ts';
import { createBuiltinClient } from '../../src/witness/builtin-client.ts';
import { walkSite } from '../../src/witness/walk-site.ts';
import { filesOf, Workshop } from '../support/made-archives.ts';
import { NEEDS_ARCHIVE_MAKERS } from '../support/needs.ts';
import { aWorld } from '../support/world.ts';
import { demo } from './run-demo.ts';

const packagesOf = (suite: string): Package[] => [
  ...['alder', 'birch++', 'cedar'].map((name) =>
    makeBinaryPackage({
      name,
      version: '1:1.0~rc1+b1',
      architecture: 'amd64',
      payload: Buffer.from(`${name} ${suite}`),
    }),
  ),
  makeBinaryPackage({
    name: 'dogwood-doc',
    version: '2',
    architecture: 'all',
    payload: Buffer.from(`docs ${suite}`),
  }),
];

const aWorkshop = async (t: TestContext): Promise<Workshop> => {
  const workshop = await Workshop.open();
  t.after(() => workshop.close());
  return workshop;
};

test(
  'the demo of an archive that reprepro made replicates, reads, repairs and counts it',
  { ...NEEDS_ARCHIVE_MAKERS, timeout: 300_000 },
  async (t) => {
    const workshop = await aWorkshop(t);
    const source = makeSourcePackage({
      name: 'alder',
      version: '1.0',
      payload: Buffer.from('the source of alder'),
    });
    const root = await workshop.reprepro('stable', [...packagesOf('stable'), source]);

    const { exitCode, printed } = await demo(
      t,
      '--archive',
      root,
      '--suite',
      'stable',
      '--keyring',
      workshop.keyringFile,
    );

    assert.equal(exitCode, 0, printed);
    // 4 .deb and 2 files of a source; indices by the digests that Release lists.
    const lastLine = [
      'demo: 2 of 2 sites serve generation 1 of stable',
      String.raw`\d+ blobs verified`,
      '.+ fetched 4 of 4 packages from each',
      '1 corruption found and repaired',
      String.raw`status equals a walk of \d+ files at each`,
    ];
    assert.match(printed.trimEnd().split('\n').at(-1)!, new RegExp(`^${lastLine.join(', ')}$`));
    assert.match(printed, /\(\d+ indices by hash, 6 of the pool\), 0 wrong/);
  },
);

test(
  'archives that aptly and apt-ftparchive made, flat ones too, are whole at both sites',
  NEEDS_ARCHIVE_MAKERS,
  async (t) => {
    const workshop = await aWorkshop(t);
    const root = await workshop.aptly('aptly', packagesOf('aptly'));
    await workshop.aptFtparchive(root, 'ftparchive', filesOf(packagesOf('ftparchive'), ['binary']));
    await workshop.flatAptFtparchive(root, 'flat', packagesOf('flat'));
    const keyring = await readFile(workshop.keyringFile);
    const world = await aWorld(t, { worker: 'none', suites: ['aptly', 'ftparchive', 'flat'] });
    await world.tune({ archiveUrl: pathToFileURL(root).href, keyring });
    await world.tune({ suite: 'flat/' }, 'flat');
    await world.startWorker();

    for (const [name, suite, kind] of [
      ['aptly', 'aptly', 'untorn'],
      ['ftparchive', 'ftparchive', 'windowed'],
      ['flat', 'flat/', 'windowed'],
    ] as const) {
      await world.update(name);
      const released = packagesOf(name).flatMap((one) =>
        one.kind === 'binary' ? [createHash('sha256').update(one.file.bytes).digest('hex')] : [],
      );
      for (const site of world.sites.values()) {
        const walk = await walkSite({ url: site.aptUrl, suite, keyring });
        const status = await world.siteStatus(site.name, name);
        assert.deepEqual(walk.faults, [], `${name} at ${site.name}`);
        assert.deepEqual(
          [walk.poolFiles, status.verified, status.members, status.class],
          [4, walk.members, walk.members, kind],
        );
        for (const create of site.name === 'sin'
          ? [createAptClient, createBuiltinClient]
          : [createAptClient]) {
          const components = suite.endsWith('/') ? [] : ['main'];
          const folder = await mkdtemp(join(world.folder, 'client-'));
          const client = await create({
            url: site.aptUrl,
            suite,
            components,
            architecture: 'amd64',
            sources: false,
            keyring,
            folder,
          });
          const updated = await client.update({ fresh: true });
          const { files, output } = await client.download(await client.packages());
          assert.equal(updated.exitCode, 0, updated.output);
          assert.deepEqual(
            files.map(({ sha256 }) => sha256).toSorted(),
            released.toSorted(),
            `${client.name} reads ${name}: ${output}`,
          );
        }
      }
    }
  },
);

test(
  'the demo of an archive that debgeo refuses shows the code and the remedy, and ends with 3',
  { ...NEEDS_ARCHIVE_MAKERS, timeout: 300_000 },
  async (t) => {
    const workshop = await aWorkshop(t);
    const root = join(workshop.folder, 'made');
    await workshop.aptFtparchive(root, 'stable', filesOf(packagesOf('stable'), ['binary']));
    const stranger = join(workshop.folder, 'stranger.asc');
    await writeFile(stranger, (await createSigningKey('a stranger')).publicArmored);

    const { exitCode, printed } = await demo(
      t,
      '--archive',
      root,
      '--suite',
      'stable',
      '--keyring',
      stranger,
    );

    assert.equal(exitCode, 3, printed);
    assert.match(
      printed,
      /SIGNATURE_UNKNOWN_KEY: .+\n +expected: .+\n +found: .+\n +state: .+\n +do: .+/,
    );
  },
);

test('all faults of the command line are shown at once, and nothing is started', async (t) => {
  const ended = await demo(t, '--archive', 'ftp://example.org/debian', '--architecture', 'all');

  assert.equal(ended.exitCode, 2, ended.printed);
  for (const named of ['--archive', '--suite', '--keyring', '--architecture', 'usage:'])
    assert.ok(ended.printed.includes(named), ended.printed);
  assert.ok(!ended.printed.includes('PostgreSQL'));
});
