import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { byHashPaths, byStrength } from '../../src/domain/hashes.ts';
import { parseRepoPath } from '../../src/domain/repo-path.ts';

const MD5 = '1'.repeat(32);
const SHA1 = '2'.repeat(40);
const SHA256 = 'a'.repeat(64);
const SHA512 = 'b'.repeat(128);

describe('byHashPaths', () => {
  it('names the folder of the index and the field, the strongest first', () => {
    const paths = byHashPaths(parseRepoPath('dists/sid/main/binary-amd64/Packages.gz'), {
      MD5Sum: MD5,
      SHA1,
      SHA256,
      SHA512,
    });

    const folder = 'dists/sid/main/binary-amd64/by-hash';
    assert.deepEqual(paths, [
      `${folder}/SHA512/${SHA512}`,
      `${folder}/SHA256/${SHA256}`,
      `${folder}/SHA1/${SHA1}`,
      `${folder}/MD5Sum/${MD5}`,
    ]);
  });

  it('names the root for an index in the root of a flat archive', () => {
    assert.deepEqual(byHashPaths(parseRepoPath('Packages'), { SHA256 }), [
      `by-hash/SHA256/${SHA256}`,
    ]);
  });
});

describe('byStrength', () => {
  it('sorts the by-hash paths of an index, the strongest first', () => {
    const paths = byHashPaths(parseRepoPath('main/Packages.gz'), { MD5Sum: MD5, SHA256, SHA512 });
    assert.deepEqual(paths.toReversed().toSorted(byStrength), paths);
  });
});
