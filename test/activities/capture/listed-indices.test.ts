/** What Release lists of an index, and what is there: every digest, the size, the variants. */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { indexDigestsOf } from '../../../src/database/catalog/snapshots.ts';
import { hashOf } from '../../../src/made-archive/release-files.ts';
import { refusesWith } from '../../support/refuses-with.ts';
import { SUITE } from '../../support/served-archive.ts';
import { anArchive } from './an-archive.ts';

/** A release whose entries are given one by one: listed with these bytes, and there or not. */
async function releaseOf(
  one: Awaited<ReturnType<typeof anArchive>>,
  files: Record<string, { listed: Buffer; there: boolean; size?: number }>,
  tables = '',
): Promise<void> {
  const lines = Object.entries(files).map(
    ([path, { listed, size = listed.length }]) => ` ${hashOf('SHA256', listed)} ${size} ${path}`,
  );
  const date = new Date().toUTCString().replace('GMT', 'UTC');
  const head = `Suite: ${SUITE}\nDate: ${date}\nArchitectures: amd64\nComponents: main\n`;
  const text = `${head}SHA256:\n${lines.join('\n')}\n${tables}`;
  const all = {
    ...files,
    InRelease: { listed: Buffer.from(await one.archive.key.signClear(text)), there: true },
  };
  for (const [path, { listed, there }] of Object.entries(all)) {
    const file = one.file(`dists/${SUITE}/${path}`);
    await mkdir(dirname(file), { recursive: true });
    if (there) await writeFile(file, listed);
  }
}

const stanza = (name: string): Buffer => {
  const sha256 = hashOf('SHA256', Buffer.from(name));
  return Buffer.from(`Package: ${name}\nFilename: pool/${name}.deb\nSize: 1\nSHA256: ${sha256}\n`);
};

test('variants that decompress to different bytes are INDEX_CONTRADICTION', async () => {
  const packages = 'main/binary-amd64/Packages';
  for (const files of [
    {
      [packages]: { listed: stanza('a'), there: false },
      [`${packages}.gz`]: { listed: gzipSync(stanza('b')), there: true },
    },
    {
      [packages]: { listed: stanza('a'), there: false },
      [`${packages}.gz`]: { listed: gzipSync(stanza('longer')), there: true },
    },
    {
      [packages]: { listed: stanza('a'), there: true },
      [`${packages}.gz`]: { listed: gzipSync(stanza('b')), there: true },
    },
  ]) {
    const one = await anArchive();
    await releaseOf(one, files);

    await assert.rejects(one.look(), refusesWith('INDEX_CONTRADICTION'));
  }
});

test('a pool file that two indices name differently is INDEX_CONTRADICTION', async () => {
  const one = await anArchive();
  const other = Buffer.from(stanza('a').toString().replace('Size: 1', 'Size: 2'));
  await releaseOf(one, {
    'main/binary-amd64/Packages': { listed: stanza('a'), there: true },
    'main/debian-installer/binary-amd64/Packages': { listed: other, there: true },
  });

  await assert.rejects(one.look(), refusesWith('INDEX_CONTRADICTION'));
});

/** apt compares every digest that Release lists, and the size. */
for (const [name, digits] of [
  ['MD5Sum', 32],
  ['SHA512', 128],
] as const) {
  const packages = 'main/binary-amd64/Packages';
  const listed = stanza('a');
  const table = `${name}:\n ${'0'.repeat(digits)} ${listed.length} ${packages}\n`;

  test(`an index on record that Release lists with another ${name} is INDEX_MISMATCH`, async () => {
    const one = await anArchive();
    await releaseOf(one, { [packages]: { listed, there: true } });
    await one.look();

    await releaseOf(one, { [packages]: { listed, there: true } }, table);

    await assert.rejects(one.look(), refusesWith('INDEX_MISMATCH'));
  });

  test(`Packages that apt decompresses are INDEX_CONTRADICTION with another ${name}`, async () => {
    const one = await anArchive();
    const files = {
      [packages]: { listed, there: false },
      [`${packages}.gz`]: { listed: gzipSync(listed), there: true },
    };
    await releaseOf(one, files, table);

    await assert.rejects(one.look(), refusesWith('INDEX_CONTRADICTION'));
  });
}

test('an index on record that Release lists with another size is INDEX_MISMATCH', async () => {
  const one = await anArchive();
  const packages = 'main/binary-amd64/Packages';
  const listed = stanza('a');
  await releaseOf(one, { [packages]: { listed, there: true } });
  await one.look();

  await releaseOf(one, { [packages]: { listed, there: true, size: listed.length + 1 } });

  await assert.rejects(one.look(), refusesWith('INDEX_MISMATCH'));
});

test('an index is absent where the archive has its bytes at another path only', async () => {
  const one = await anArchive();
  const empty = Buffer.alloc(0);
  const files = {
    'main/binary-amd64/Packages': { listed: stanza('a'), there: true },
    'main/i18n/Translation-en': { listed: empty, there: true },
    'main/Contents-amd64': { listed: empty, there: false },
  };
  await releaseOf(one, files);

  await one.look();
  await releaseOf(one, { ...files, 'main/Contents-all': { listed: empty, there: false } });
  await one.look();

  for (const generation of [1, 2]) {
    const digests = await indexDigestsOf(one.db.read, one.distributionId, generation);
    const kept = [...digests].filter(([, sha256]) => sha256 !== null).map(([path]) => path);
    assert.deepEqual(kept.sort(), [
      `dists/${SUITE}/main/binary-amd64/Packages`,
      `dists/${SUITE}/main/i18n/Translation-en`,
    ]);
  }
});
