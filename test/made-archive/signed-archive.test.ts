import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { makeBinaryPackage } from '../../src/made-archive/deb-package.ts';
import { createSignedArchive } from '../../src/made-archive/signed-archive.ts';
import { packagesOf, serveArchive } from '../support/served-archive.ts';

test('dates of a burst of releases never go back and are at most 10 s ahead', async (t) => {
  const served = await serveArchive();
  t.after(() => served.close());

  const dates: number[] = [];
  for (let release = 0; release < 12; release++)
    dates.push((await served.archive.prepare(packagesOf('1.0'))).date.getTime());

  assert.deepEqual(
    dates,
    dates.toSorted((a, b) => a - b),
  );
  assert.ok(new Set(dates).size > 3);
  assert.ok((dates.at(-1) ?? 0) <= Date.now() + 10_000);
});

test('earlier by-hash and pool files stay until they are dropped', async (t) => {
  const served = await serveArchive();
  t.after(() => served.close());
  const first = await served.archive.release(packagesOf('1.0'));
  const second = await served.archive.release(packagesOf('1.1'));
  const onlyFirst = first.files.filter(
    (file) =>
      (file.kind === 'pool' || file.kind === 'by-hash') &&
      !second.files.some((other) => other.path === file.path),
  );
  const there = () =>
    onlyFirst.filter((file) => existsSync(join(served.archive.folder, file.path)));

  const kept = there();
  await served.archive.dropOld(second);

  assert.notEqual(onlyFirst.length, 0);
  assert.deepEqual(kept, onlyFirst);
  assert.deepEqual(there(), []);
  assert.ok(second.files.every((file) => existsSync(join(served.archive.folder, file.path))));
});

test('two suites share one pool, in which a version never gets other bytes', async (t) => {
  const served = await serveArchive();
  t.after(() => served.close());
  const testing = createSignedArchive({
    folder: served.archive.folder,
    suite: 'testing',
    key: served.archive.key,
  });
  const made = (payload: string) => [
    makeBinaryPackage({
      name: 'hello',
      version: '1.0',
      architecture: 'amd64',
      payload: Buffer.from(payload),
    }),
  ];

  await served.archive.release(made('same'));
  await testing.release(made('same'));

  await assert.rejects(testing.release(made('other')));
});

test('the text of InRelease is that of Release, byte for byte', async (t) => {
  const served = await serveArchive();
  t.after(() => served.close());
  await served.archive.release(packagesOf('1.0'));
  const read = (name: string) =>
    readFile(join(served.archive.folder, 'dists/stable', name), 'utf8');

  const inRelease = await read('InRelease');

  const body = inRelease.slice(
    inRelease.indexOf('\n\n') + 2,
    inRelease.indexOf('-----BEGIN PGP SIGNATURE'),
  );
  assert.equal(body, await read('Release'));
  assert.ok(!inRelease.includes('\r'));
});
