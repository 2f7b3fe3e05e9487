import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import {
  makeBinaryPackage,
  makeSourcePackage,
  type PoolFile,
} from '../../src/made-archive/deb-package.ts';

const folder = mkdtempSync(join(tmpdir(), 'debgeo-deb-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const missing = (command: string, install: string): string | false =>
  spawnSync(command, ['--version']).error === undefined ? false : `needs ${command}: ${install}`;
const dpkgDeb = missing('dpkg-deb', 'apt-get install dpkg');
const dpkgSource = missing('dpkg-source', 'apt-get install dpkg-dev');

const onDisk = (file: PoolFile): string => {
  const path = join(folder, file.name);
  writeFileSync(path, file.bytes);
  return path;
};

for (const compression of ['gz', 'xz', 'zst'] as const) {
  test(`dpkg-deb reads a package compressed with ${compression}`, { skip: dpkgDeb }, () => {
    const payload = Buffer.from(`odd length with ${compression}`);
    const made = makeBinaryPackage({
      name: `lib${compression}++`,
      version: '1:2.0~rc1+b1',
      architecture: 'amd64',
      payload,
      compression,
    });

    const path = onDisk(made.file);

    assert.equal(made.file.name, `lib${compression}++_2.0~rc1+b1_amd64.deb`);
    assert.match(
      execFileSync('dpkg-deb', ['-I', path], { encoding: 'utf8' }),
      /^ Version: 1:2\.0~rc1\+b1$/m,
    );
    assert.ok(
      execFileSync('dpkg-deb', ['-c', path], { encoding: 'utf8' }).includes(
        `./${made.installs[0]}\n`,
      ),
    );
    const tar = execFileSync('dpkg-deb', ['--fsys-tarfile', path]);
    assert.ok(
      execFileSync('tar', ['-xO', `./${made.installs[0]}`], { input: tar }).equals(payload),
    );
  });
}

test('dpkg-source unpacks a source package', { skip: dpkgSource }, () => {
  const made = makeSourcePackage({ name: 'hello', version: '1.0', payload: Buffer.from('source') });

  const [dsc] = made.files.map(onDisk);

  const unpacked = join(folder, 'unpacked');
  execFileSync('dpkg-source', ['--no-check', '-x', dsc ?? '', unpacked], { stdio: 'pipe' });
  assert.equal(execFileSync('cat', [join(unpacked, 'payload')], { encoding: 'utf8' }), 'source');
});

test('the same input makes the same bytes', () => {
  const make = () =>
    makeBinaryPackage({
      name: 'hello',
      version: '1.0',
      architecture: 'all',
      payload: Buffer.from('x'),
    }).file.bytes;

  assert.deepEqual(make(), make());
});

test('another payload makes other bytes', () => {
  const make = (text: string) =>
    makeBinaryPackage({
      name: 'hello',
      version: '1.0',
      architecture: 'all',
      payload: Buffer.from(text),
    }).file.bytes;

  assert.notDeepEqual(make('x'), make('y'));
});
