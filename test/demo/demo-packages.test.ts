import assert from 'node:assert/strict';
import { test } from 'node:test';

import { makePackage, packagesOf } from '../../src/demo/demo-packages.ts';
import type { Package } from '../../src/made-archive/deb-package.ts';

const RELEASES = 9;

const filesOf = (entry: Package) => (entry.kind === 'binary' ? [entry.file] : entry.files);

test('every release changes four packages, and no version is ever an earlier one', () => {
  for (let number = 2; number <= RELEASES; number++) {
    const before = packagesOf(number - 1).filter((entry) => entry.kind === 'binary');
    const after = packagesOf(number).filter((entry) => entry.kind === 'binary');

    const changed = after.filter((entry, index) => entry.version !== before[index]?.version);

    assert.equal(changed.length, 4, `release ${number}`);
    assert.ok(changed.every((entry) => entry.version === makePackage(entry.name, number).version));
  }
});

test('a file name has the same bytes in every release', () => {
  const seen = new Map<string, Uint8Array>();
  for (let number = 1; number <= RELEASES; number++) {
    for (const file of packagesOf(number).flatMap(filesOf)) {
      assert.deepEqual(file.bytes, seen.get(file.name) ?? file.bytes, file.name);
      seen.set(file.name, file.bytes);
    }
  }
});
