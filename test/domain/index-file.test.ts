import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { Blob } from '../../src/domain/blob.ts';
import {
  compressionOf,
  isPackages,
  isSources,
  PackagesReader,
  SourcesReader,
  stemOf,
} from '../../src/domain/index-file.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { sha256Of } from '../../src/domain/sha256.ts';
import { refusesWith } from '../support/refuses-with.ts';

const A = sha256Of(Buffer.from('a'));
const B = sha256Of(Buffer.from('b'));
const MD5 = '1'.repeat(32);

function read(
  Reader: typeof PackagesReader | typeof SourcesReader,
  text: string,
  prefix = '',
): Blob[] {
  const blobs: Blob[] = [];
  const reader = new Reader(prefix, (blob) => blobs.push(blob));
  const bytes = Buffer.from(text);
  reader.push(bytes.subarray(0, 20));
  reader.push(bytes.subarray(20));
  reader.end();
  return blobs;
}
const packages = (text: string, prefix?: string) => read(PackagesReader, text, prefix);
const sources = (text: string, prefix?: string) => read(SourcesReader, text, prefix);

describe('names of indices', () => {
  it('tell the compression', () => {
    const compressions = [
      'Packages',
      'Packages.gz',
      'Packages.xz',
      'Packages.zst',
      'Packages.bz2',
      'Packages.lzma',
      'Components-amd64.yml',
      'v1.gz/Index',
    ].map(compressionOf);

    assert.deepEqual(compressions, [
      'none',
      'gz',
      'xz',
      'zst',
      'unsupported',
      'unsupported',
      'none',
      'none',
    ]);
  });

  it('share a stem', () => {
    assert.equal(stemOf('main/binary-amd64/Packages.gz'), 'main/binary-amd64/Packages');
    assert.equal(stemOf('main/binary-amd64/Packages'), 'main/binary-amd64/Packages');
    assert.equal(stemOf('main/i18n/Translation-de.bz2'), 'main/i18n/Translation-de');
    assert.equal(stemOf('main/dep11/Components-amd64.yml.gz'), 'main/dep11/Components-amd64.yml');
  });

  it('tell Packages and Sources from all others', () => {
    const isOne = [
      'Packages',
      'main/binary-amd64/Packages.xz',
      'main/debian-installer/binary-amd64/Packages.bz2',
    ];
    const isNone = [
      'main/binary-amd64/Packages.diff/Index',
      'main/binary-amd64/Release',
      'main/Packages-x.gz',
      'Packages.yml',
      'Sources',
    ];

    assert.deepEqual([...isOne, ...isNone].map(isPackages), [
      ...isOne.map(() => true),
      ...isNone.map(() => false),
    ]);
    assert.deepEqual(
      ['Sources', 'main/source/Sources.gz', 'Packages', 'main/Sources.diff/Index'].map(isSources),
      [true, true, false, false],
    );
  });
});

describe('PackagesReader', () => {
  it('names a blob per stanza', () => {
    const text =
      `Package: a\nFilename: pool/a_1%3a2+b~1_all.deb\nSize: 3\nMD5sum: ${MD5}\nSHA256: ${A}\n\n` +
      `Package: b\nSHA256: ${B}\nSize: 0\nFilename: b.deb\n`;

    assert.deepEqual(packages(text), [
      { path: 'pool/a_1%3a2+b~1_all.deb', size: 3, sha256: A },
      { path: 'b.deb', size: 0, sha256: B },
    ]);
  });

  it('names nothing for an empty index', () => {
    assert.deepEqual(packages(''), []);
  });

  it('takes Filename below the prefix', () => {
    assert.deepEqual(
      packages(`Package: b\nFilename: b.deb\nSize: 1\nSHA256: ${A}\n`, 'sub').map(
        (blob) => blob.path,
      ),
      ['sub/b.deb'],
    );
  });

  it('refuses a stanza without Package, Filename, Size or SHA256', () => {
    const fields = ['Package: b\n', 'Filename: b.deb\n', 'Size: 1\n', `SHA256: ${A}\n`];

    assert.equal(packages(fields.join('')).length, 1);
    for (const field of fields)
      assert.throws(
        () => packages(fields.filter((other) => other !== field).join('')),
        refusesWith('INDEX_MALFORMED'),
        field,
      );
    assert.throws(() => packages('Package: b\n'), refusesWith('INDEX_MALFORMED'));
    assert.throws(
      () => packages(`Package: b\nFilename: b.deb\nSize: 1\nSHA512: ${'b'.repeat(128)}\n`),
      refusesWith('INDEX_MALFORMED'),
    );
  });

  it('refuses sizes and digests that are none', () => {
    for (const size of ['-1', '1.5', '0x10', '1e3', '1 2', '9'.repeat(16)])
      assert.throws(
        () => packages(`Package: b\nFilename: b.deb\nSize: ${size}\nSHA256: ${A}\n`),
        refusesWith('INDEX_MALFORMED'),
        size,
      );
    for (const digest of ['', A.slice(1), `${A}0`, 'g'.repeat(64), A.toUpperCase(), `\n ${A}`])
      assert.throws(
        () => packages(`Package: b\nFilename: b.deb\nSize: 1\nSHA256: ${digest}\n`),
        refusesWith('INDEX_MALFORMED'),
        digest,
      );
  });

  it('refuses a file that is too large', () => {
    assert.throws(
      () => packages(`Package: b\nFilename: b.deb\nSize: ${LIMITS.blobBytes + 1}\nSHA256: ${A}\n`),
      refusesWith('LIMIT_EXCEEDED'),
    );
  });

  it('refuses hostile names', () => {
    for (const name of [
      '../b.deb',
      '/b.deb',
      'pool/../../b.deb',
      'dists/sid/InRelease',
      'InRelease',
      'a\\b',
      'a%2f..',
      'pool/',
      'Packages.gz',
    ]) {
      assert.throws(
        () => packages(`Package: b\nFilename: ${name}\nSize: 1\nSHA256: ${A}\n`),
        refusesWith('HOSTILE_PATH'),
        name,
      );
    }
    assert.throws(
      () => packages(`Package: b\nFilename: ../b.deb\nSize: 1\nSHA256: ${A}\n`, 'sub'),
      refusesWith('HOSTILE_PATH'),
    );
    assert.throws(
      () => packages(`Package: b\nFilename: InRelease\nSize: 1\nSHA256: ${A}\n`, 'dists'),
      refusesWith('HOSTILE_PATH'),
    );
  });

  it('refuses names that apt asks for in a way that blob storage cannot answer', () => {
    for (const name of ['./b.deb', 'pool/./b.deb', './pool/b.deb'])
      assert.throws(
        () => packages(`Package: b\nFilename: ${name}\nSize: 1\nSHA256: ${A}\n`),
        refusesWith('PATH_UNREADABLE'),
        name,
      );
    assert.equal(
      packages(`Package: b\nFilename: .hidden/b.deb\nSize: 1\nSHA256: ${A}\n`).length,
      1,
    );
  });

  it('refuses a stanza that names two files', () => {
    assert.throws(
      () => packages(`Package: b\nFilename: a.deb\nFilename: b.deb\nSize: 1\nSHA256: ${A}\n`),
      refusesWith('INDEX_MALFORMED'),
    );
  });
});

describe('SourcesReader', () => {
  const stanza = (directory: string, sha256: string, files = `Files:\n ${MD5} 3 h.dsc\n`) =>
    `Package: h\n${directory}${files}Checksums-Sha256:\n${sha256}`;

  it('names the files below Directory', () => {
    const text = stanza(
      'Directory: pool/main/h\n',
      ` ${A} 3 h.dsc\n ${B} 4 h.tar.xz\n`,
      `Files:\n ${MD5} 3 h.dsc\n ${MD5} 4 h.tar.xz\n`,
    );

    assert.deepEqual(sources(text), [
      { path: 'pool/main/h/h.dsc', size: 3, sha256: A },
      { path: 'pool/main/h/h.tar.xz', size: 4, sha256: B },
    ]);
  });

  it('refuses a Directory that apt asks for in a way that blob storage cannot answer', () => {
    for (const directory of ['.', './', './pool', 'pool/./h'])
      assert.throws(
        () => sources(stanza(`Directory: ${directory}\n`, ` ${A} 3 h.dsc\n`)),
        refusesWith('PATH_UNREADABLE'),
        directory,
      );
  });

  it('takes nothing and no Directory as the root', () => {
    for (const directory of ['Directory:\n', '']) {
      assert.deepEqual(
        sources(stanza(directory, ` ${A} 3 h.dsc\n`)).map((blob) => blob.path),
        ['h.dsc'],
        directory,
      );
    }
    assert.deepEqual(
      sources(stanza('Directory: sub/\n', ` ${A} 3 h.dsc\n`)).map((blob) => blob.path),
      ['sub/h.dsc'],
    );
  });

  it('unites the tables, and refuses a file without SHA-256', () => {
    assert.equal(sources(stanza('', ` ${A} 3 h.dsc\n ${B} 4 h.asc\n`)).length, 2);
    assert.throws(() => sources(stanza('', ` ${B} 4 h.asc\n`)), refusesWith('INDEX_MALFORMED'));
    assert.throws(
      () => sources(`Package: h\nFiles:\n ${MD5} 3 h.dsc\n`),
      refusesWith('INDEX_MALFORMED'),
    );
    assert.throws(
      () => sources(`Package: h\nChecksums-Sha512:\n ${'b'.repeat(128)} 3 h.dsc\n`),
      refusesWith('INDEX_MALFORMED'),
    );
    assert.throws(() => sources('Package: h\nDirectory: pool\n'), refusesWith('INDEX_MALFORMED'));
  });

  it('refuses a file that is listed differently', () => {
    assert.throws(() => sources(stanza('', ` ${A} 4 h.dsc\n`)), refusesWith('INDEX_CONTRADICTION'));
    assert.throws(
      () => sources(stanza('', ` ${A} 3 h.dsc\n ${B} 3 h.dsc\n`)),
      refusesWith('INDEX_CONTRADICTION'),
    );
    assert.equal(sources(stanza('', ` ${A} 3 h.dsc\n ${A} 3 h.dsc\n`)).length, 1);
  });

  it('refuses lines that are no entries', () => {
    for (const line of [
      `${A} 3`,
      `${A.slice(1)} 3 h.dsc`,
      `${A} x h.dsc`,
      `${A} 3 h.dsc more`,
      MD5,
    ])
      assert.throws(() => sources(stanza('', ` ${line}\n`)), refusesWith('INDEX_MALFORMED'), line);
  });

  it('refuses hostile folders and names', () => {
    for (const directory of ['..', '/etc', 'pool/../..', '/', 'dists/sid', 'a//b']) {
      assert.throws(
        () => sources(stanza(`Directory: ${directory}\n`, ` ${A} 3 h.dsc\n`)),
        refusesWith('HOSTILE_PATH'),
        directory,
      );
    }
    for (const name of ['../h.dsc', '/h.dsc', '.', 'InRelease']) {
      assert.throws(
        () => sources(stanza('Directory: pool\n', ` ${A} 3 ${name}\n`, '')),
        refusesWith('HOSTILE_PATH'),
        name,
      );
    }
  });
});
