import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import type {
  ReleasedFile,
  SignedArchive,
  SignedArchiveOptions,
} from '../../src/made-archive/signed-archive.ts';
import { createSigningKey } from '../../src/made-archive/signing-key.ts';
import { createAptClient } from '../../src/witness/apt-client.ts';
import { NEEDS_APT } from '../support/needs.ts';
import { CLIENTS, packagesOf, serveArchive } from '../support/served-archive.ts';

const HOUR_MS = 3_600_000;

const FORMS: readonly Partial<SignedArchiveOptions>[] = [
  { acquireByHash: true, releaseSet: 'both' },
  { acquireByHash: false, releaseSet: 'both' },
  {
    acquireByHash: true,
    releaseSet: 'inline',
    hashes: ['SHA256', 'SHA512'],
    compressions: ['zst', 'xz'],
  },
  { acquireByHash: false, releaseSet: 'detached' },
];

test('an apt whose folder is gone does not turn to the system', NEEDS_APT, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'debgeo-apt-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const client = await createAptClient({
    url: 'http://127.0.0.1:1/debian',
    suite: 'stable',
    components: ['main'],
    architecture: 'amd64',
    keyring: null,
    folder,
  });
  await rm(folder, { recursive: true });

  const { exitCode, output } = await client.download(['no-such-package']);

  assert.deepEqual([exitCode, output], [127, `${join(folder, 'apt.conf')} is gone`]);
});

for (const { kind, skip } of CLIENTS) {
  for (const form of FORMS) {
    test(
      `${kind} installs: by-hash ${form.acquireByHash}, Release set ${form.releaseSet}`,
      { skip },
      async (t) => {
        const served = await serveArchive(form);
        t.after(() => served.close());
        const first = await served.archive.release(packagesOf('1.0'));
        const client = await served.client(kind);

        const cold = await client.update({ fresh: true });
        const downloaded = await client.download(await client.packages());
        await served.archive.release(packagesOf('1.1'));
        const kept = await client.update({ fresh: false });
        const installed = await client.installDownloadOnly('hello');

        assert.equal(cold.exitCode, 0, cold.output);
        assert.deepEqual(
          new Set(downloaded.files.map((file) => file.sha256)),
          new Set(
            [...first.pool].filter(([path]) => path.endsWith('.deb')).map(([, sha256]) => sha256),
          ),
        );
        assert.equal(kept.exitCode, 0, kept.output);
        assert.equal(await client.versionOf('hello'), '1.1');
        assert.equal(await client.versionOf('nothing'), null);
        assert.deepEqual(installed.files.map((file) => file.name).toSorted(), [
          'hello_1.1_amd64.deb',
          'libc++x_2.0~b1+c_all.deb',
        ]);
      },
    );
  }

  test(`${kind} sends one request where nothing changed`, { skip }, async (t) => {
    const served = await serveArchive();
    t.after(() => served.close());
    await served.archive.release(packagesOf('1.0'));
    const client = await served.client(kind);
    await client.update({ fresh: true });
    const before = served.server.requestCount();

    await client.update({ fresh: false });

    assert.equal(served.server.requestCount() - before, 1);
  });

  test(`${kind} accepts two releases of the same second`, { skip }, async (t) => {
    const served = await serveArchive();
    t.after(() => served.close());
    const { date } = await served.archive.release(packagesOf('1.0'));
    const client = await served.client(kind);
    await client.update({ fresh: true });
    await served.archive.release(packagesOf('1.1'), { date });

    const outcome = await client.update({ fresh: false });

    assert.equal(outcome.exitCode, 0, outcome.output);
    assert.equal(await client.versionOf('hello'), '1.1');
  });

  test(`${kind} keeps its lists when an archive goes back in time`, { skip }, async (t) => {
    const served = await serveArchive();
    t.after(() => served.close());
    await served.archive.release(packagesOf('1.1'));
    const client = await served.client(kind);
    await client.update({ fresh: true });
    await served.archive.release(packagesOf('1.0'), { date: new Date(Date.now() - HOUR_MS) });

    const outcome = await client.update({ fresh: false });

    assert.equal(outcome.exitCode, 0, outcome.output);
    assert.equal(await client.versionOf('hello'), '1.1');
  });
}

/**
 * Faults of an archive, and the step at which each client must refuse them. The good archive proves
 * that the others are refused for their fault.
 */
const FAULTS: readonly {
  readonly what: string;
  readonly refusedAt: 'update' | 'download' | 'never';
  release(archive: SignedArchive): Promise<void>;
}[] = [
  {
    what: 'a good archive',
    refusedAt: 'never',
    release: async (archive) => void (await archive.release(packagesOf('1.1'))),
  },
  {
    what: 'an InRelease before its indices',
    refusedAt: 'update',
    release: (archive) => writeWithout(archive, (file) => file.kind !== 'release'),
  },
  {
    what: 'an expired release',
    refusedAt: 'update',
    release: async (archive) =>
      void (await archive.release(packagesOf('1.1'), {
        validUntil: new Date(Date.now() - HOUR_MS),
        date: new Date(Date.now() - 2 * HOUR_MS),
      })),
  },
  {
    what: 'a release dated tomorrow',
    refusedAt: 'update',
    release: async (archive) =>
      void (await archive.release(packagesOf('1.1'), {
        date: new Date(Date.now() + 24 * HOUR_MS),
      })),
  },
  {
    what: 'a release signed with another key',
    refusedAt: 'update',
    release: async (archive) =>
      void (await archive.release(packagesOf('1.1'), {
        key: await createSigningKey('another key'),
      })),
  },
  {
    what: 'a signed text with another package list',
    refusedAt: 'update',
    release: async (archive) => {
      const { files } = await archive.prepare(packagesOf('1.1'));
      const forge = (bytes: Uint8Array) =>
        Buffer.from(Buffer.from(bytes).toString().replace('Label: debgeo', 'Label: forged'));
      await archive.write(
        files.map((file) =>
          file.path.endsWith('/InRelease') ? { ...file, bytes: forge(file.bytes) } : file,
        ),
      );
    },
  },
  {
    what: 'text after the signature',
    refusedAt: 'update',
    release: async (archive) => {
      const { files } = await archive.prepare(packagesOf('1.1'));
      const append = (bytes: Uint8Array) =>
        Buffer.concat([bytes, Buffer.from('Origin: elsewhere\n')]);
      await archive.write(
        files.map((file) =>
          file.path.endsWith('/InRelease') ? { ...file, bytes: append(file.bytes) } : file,
        ),
      );
    },
  },
  {
    what: 'a missing pool file',
    refusedAt: 'download',
    release: (archive) => writeWithout(archive, (file) => /hello_.*\.deb$/.test(file.path)),
  },
  {
    what: 'a pool file with one byte flipped',
    refusedAt: 'download',
    release: async (archive) => {
      const { files } = await archive.prepare(packagesOf('1.1'));
      await archive.write(
        files.map((file) =>
          /hello_.*\.deb$/.test(file.path) ? { ...file, bytes: flip(file.bytes) } : file,
        ),
      );
    },
  },
];

for (const fault of FAULTS) {
  const { what, refusedAt } = fault;
  for (const { kind, skip } of CLIENTS) {
    test(`${kind}, ${what}: refused at ${refusedAt}`, { skip }, async (t) => {
      const served = await serveArchive();
      t.after(() => served.close());
      const client = await served.client(kind);
      await fault.release(served.archive);

      const update = await client.update({ fresh: true });
      const download = await client.download(['hello']);

      const refused =
        update.exitCode !== 0 ? 'update' : download.exitCode !== 0 ? 'download' : 'never';
      assert.equal(refused, refusedAt, `${update.output}\n${download.output}`);
    });
  }
}

for (const { kind, skip } of CLIENTS) {
  test(
    `${kind} fails where a source with good lists is now signed by another key`,
    { skip },
    async (t) => {
      const served = await serveArchive();
      t.after(() => served.close());
      await served.archive.release(packagesOf('1.0'));
      const client = await served.client(kind);
      await client.update({ fresh: true });
      await served.archive.release(packagesOf('1.1'), {
        key: await createSigningKey('another key'),
      });

      const outcome = await client.update({ fresh: false });

      assert.notEqual(outcome.exitCode, 0);
      assert.equal(await client.versionOf('hello'), '1.0');
    },
  );
}

test(
  'a private apt leaves the lists and the cache of the system alone',
  { skip: CLIENTS[0]?.skip ?? false },
  async (t) => {
    const served = await serveArchive();
    t.after(() => served.close());
    await served.archive.release(packagesOf('1.0'));
    const client = await served.client('apt');
    const before = await systemState();

    await client.update({ fresh: true });
    await client.installDownloadOnly('hello');

    assert.deepEqual(await systemState(), before);
  },
);

/** Writes a release without the files that the filter names. */
async function writeWithout(
  archive: SignedArchive,
  isMissing: (file: ReleasedFile) => boolean,
): Promise<void> {
  const { files } = await archive.prepare(packagesOf('1.1'));
  await archive.write(files.filter((file) => !isMissing(file)));
  for (const file of files.filter(isMissing))
    rmSync(join(archive.folder, file.path), { force: true });
}

function flip(bytes: Uint8Array): Buffer {
  const other = Buffer.from(bytes);
  other[other.length - 1] = (other.at(-1) ?? 0) ^ 1;
  return other;
}

async function systemState(): Promise<string[]> {
  const folders = [
    '/var/lib/apt',
    '/var/lib/apt/lists',
    '/var/cache/apt',
    '/var/cache/apt/archives',
    '/var/log/apt',
  ];
  const state: string[] = [];
  for (const folder of folders) {
    const names = await readdir(folder).catch(() => []);
    for (const name of ['.', ...names])
      state.push(`${folder}/${name} ${(await stat(join(folder, name))).mtimeMs}`);
  }
  return state;
}
