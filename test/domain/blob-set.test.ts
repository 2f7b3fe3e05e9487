import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { BlobSet } from '../../src/domain/blob-set.ts';
import type { Blob } from '../../src/domain/blob.ts';
import { parseRepoPath } from '../../src/domain/repo-path.ts';
import { sha256FromBytes, sha256Of, SHA256_BYTES } from '../../src/domain/sha256.ts';
import { refusesWith } from '../support/refuses-with.ts';

const A = sha256Of(Buffer.from('a'));
const B = sha256Of(Buffer.from('b'));

const blobsOf = (set: BlobSet): Blob[] =>
  [...set.pieces()].flatMap(({ paths, sizes, digests }) =>
    paths.map((path, place) => {
      const sha256 = sha256FromBytes(
        digests.subarray(place * SHA256_BYTES, (place + 1) * SHA256_BYTES),
      );
      return { path, size: sizes[place]!, sha256 };
    }),
  );

describe('BlobSet', () => {
  const blob = (path: string, sha256 = A, size = 1): Blob => ({
    path: parseRepoPath(path),
    size,
    sha256,
  });

  it('holds a path once, however often it is named', () => {
    const blobs = new BlobSet();

    for (const path of ['a', 'b', 'a']) blobs.add(blob(path));

    assert.equal(blobs.size, 2);
    assert.deepEqual(blobsOf(blobs), [blob('a'), blob('b')]);
  });

  it('gives all of them in pieces, in the order in which they came', () => {
    for (const count of [0, 1, 2_000, 4_001]) {
      const blobs = new BlobSet();
      const added = Array.from({ length: count }, (_, index) =>
        blob(`pool/${index}`, sha256Of(Buffer.from(`${index}`)), index),
      );

      for (const one of added) blobs.add(one);

      assert.deepEqual(blobsOf(blobs), added);
      assert.equal(
        blobs.bytes,
        added.reduce((sum, { size }) => sum + size, 0),
      );
      assert.ok(
        [...blobs.pieces()].every(
          ({ paths, sizes }) => paths.length === sizes.length && paths.length <= 2_000,
        ),
      );
    }
  });

  it('refuses another digest or size at a path', () => {
    const blobs = new BlobSet();
    blobs.add(blob('a'));

    assert.throws(() => blobs.add(blob('a', B)), refusesWith('INDEX_CONTRADICTION'));
    assert.throws(() => blobs.add(blob('a', A, 2)), refusesWith('INDEX_CONTRADICTION'));
  });

  it('refuses the path of an index', () => {
    assert.throws(
      () =>
        new BlobSet([parseRepoPath('sub/Contents-amd64.gz')]).add(blob('sub/Contents-amd64.gz')),
      refusesWith('HOSTILE_PATH'),
    );
  });

  it('refuses two files whose paths differ in case only, and takes one file by two names', () => {
    for (const [one, other] of [
      ['pool/Hello.deb', 'pool/hello.deb'],
      ['pool/hello.deb', 'pool/Hello.deb'],
      ['pool/HELLO.deb', 'pool/Hello.deb'],
      ['Pool/hello.deb', 'pool/hello.deb'],
      ['pool/\u00e9.deb', 'pool/e\u0301.deb'],
      ['pool/\u00c9.deb', 'pool/e\u0301.deb'],
    ] as const) {
      const blobs = new BlobSet();
      blobs.add(blob(one));

      assert.throws(() => blobs.add(blob(other, B)), refusesWith('PATH_AMBIGUOUS'), other);
      assert.throws(() => blobs.add(blob(other, A, 2)), refusesWith('PATH_AMBIGUOUS'), other);
      blobs.add(blob(other));
      assert.deepEqual(blobsOf(blobs), [blob(one), blob(other)]);
    }
    assert.throws(
      () => new BlobSet([parseRepoPath('Release')]).add(blob('release')),
      refusesWith('HOSTILE_PATH'),
    );
  });

  it('bounds how often files are named, the same one too', () => {
    const blobs = new BlobSet([], { snapshotBlobs: 10, snapshotNamings: 3 });
    for (const path of ['a', 'a', 'a']) blobs.add(blob(path));

    assert.throws(() => blobs.add(blob('a')), refusesWith('LIMIT_EXCEEDED'));
  });

  it('is bounded, and a path that is there is no more', () => {
    const blobs = new BlobSet([], { snapshotBlobs: 2, snapshotNamings: 10 });
    for (const path of ['a', 'b', 'a']) blobs.add(blob(path));

    assert.throws(() => blobs.add(blob('c')), refusesWith('LIMIT_EXCEEDED'));
  });
});
