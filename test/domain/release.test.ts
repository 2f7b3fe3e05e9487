import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { LIMITS } from '../../src/domain/limits.ts';
import { parseRelease, suiteFolder } from '../../src/domain/release.ts';
import { refusesWith } from '../support/refuses-with.ts';

const MD5 = '1'.repeat(32);
const SHA1 = '2'.repeat(40);
const SHA256 = 'a'.repeat(64);
const SHA512 = 'b'.repeat(128);

const parse = (text: string) => parseRelease(Buffer.from(text));
/** A Release that lists the paths. */
const listing = (paths: readonly string[], head = '') =>
  parse(`${head}SHA256:\n${paths.map((path) => ` ${SHA256} 1 ${path}\n`).join('')}`);
const withDate = (date: string) =>
  parse(`Date: ${date}\nSHA256:\n ${SHA256} 1 a\n`).date?.toISOString();

describe('parseRelease', () => {
  it('reads what Debian releases', () => {
    const release = parse(
      'Origin: Debian\nSuite: oldstable\nCodename: bookworm\n' +
        'Date: Sat, 10 Feb 2024 11:07:25 UTC\nValid-Until: Sat, 17 Feb 2024 11:07:25 UTC\n' +
        'Acquire-By-Hash: yes\nArchitectures: all amd64\nComponents: main updates/contrib\n' +
        `MD5Sum:\n ${MD5}   12 main/binary-amd64/Packages\n` +
        `SHA256:\n ${SHA256}   12 main/binary-amd64/Packages\n` +
        ` ${SHA256} 0 main/source/Sources\n`,
    );

    assert.equal(release.suite, 'oldstable');
    assert.equal(release.codename, 'bookworm');
    assert.equal(release.date?.toISOString(), '2024-02-10T11:07:25.000Z');
    assert.equal(release.validUntil?.toISOString(), '2024-02-17T11:07:25.000Z');
    assert.equal(release.acquireByHash, true);
    assert.deepEqual(release.components, ['main', 'updates/contrib']);
    assert.deepEqual(release.architectures, ['all', 'amd64']);
    assert.deepEqual(
      [...release.entries],
      [
        [
          'main/binary-amd64/Packages',
          { path: 'main/binary-amd64/Packages', size: 12, hashes: { SHA256, MD5Sum: MD5 } },
        ],
        ['main/source/Sources', { path: 'main/source/Sources', size: 0, hashes: { SHA256 } }],
      ],
    );
  });

  it('takes missing fields as absent', () => {
    const release = listing(['Packages']);

    assert.deepEqual(
      [release.date, release.validUntil, release.suite, release.codename, release.acquireByHash],
      [null, null, null, null, false],
    );
    assert.deepEqual([release.components, release.architectures], [[], []]);
  });

  it('unites the tables per path, whichever they are', () => {
    const release = parse(
      `SHA512:\n ${SHA512} 1 a\nSHA1:\n ${SHA1} 1 a\n ${SHA1} 1 b\nSHA256:\n ${SHA256} 1 b\n`,
    );

    assert.deepEqual(release.entries.get('a')?.hashes, { SHA512, SHA1 });
    assert.deepEqual(release.entries.get('b')?.hashes, { SHA256, SHA1 });
  });

  it('accepts a path that is listed twice alike, and refuses it listed differently', () => {
    const other = 'c'.repeat(64);

    assert.equal(listing(['a', 'a', './a']).entries.size, 1);
    assert.throws(
      () => parse(`SHA256:\n ${SHA256} 1 a\n ${other} 1 a\n`),
      refusesWith('INDEX_CONTRADICTION'),
    );
    assert.throws(
      () => parse(`SHA256:\n ${SHA256} 1 a\n ${SHA256} 2 ./a\n`),
      refusesWith('INDEX_CONTRADICTION'),
    );
    assert.throws(
      () => parse(`MD5Sum:\n ${MD5} 2 a\nSHA256:\n ${SHA256} 1 a\n`),
      refusesWith('INDEX_CONTRADICTION'),
    );
    assert.throws(
      () => parse(`MD5Sum:\n ${MD5} 1 a\n ${'3'.repeat(32)} 1 a\nSHA256:\n ${SHA256} 1 a\n`),
      refusesWith('INDEX_CONTRADICTION'),
    );
  });

  it('refuses two paths that differ in case only, unless they are the same file', () => {
    const other = 'c'.repeat(64);

    assert.equal(listing(['Contents-amd64', 'contents-amd64']).entries.size, 2);
    assert.throws(
      () => parse(`SHA256:\n ${SHA256} 1 a/B\n ${other} 1 A/b\n`),
      refusesWith('PATH_AMBIGUOUS'),
    );
    assert.throws(
      () => parse(`SHA256:\n ${SHA256} 1 \u00e9\n ${other} 1 e\u0301\n`),
      refusesWith('PATH_AMBIGUOUS'),
    );
  });

  it('refuses entries with weak hashes only, and none at all', () => {
    assert.throws(
      () => parse(`MD5Sum:\n ${MD5} 1 a\nSHA1:\n ${SHA1} 1 a\n`),
      refusesWith('RELEASE_MALFORMED'),
    );
    assert.throws(
      () => parse(`MD5Sum:\n ${MD5} 1 a\n ${MD5} 1 b\nSHA256:\n ${SHA256} 1 a\n`),
      refusesWith('RELEASE_MALFORMED'),
    );
    assert.throws(() => parse('Origin: Debian\n'), refusesWith('RELEASE_MALFORMED'));
    assert.throws(() => parse('Origin: Debian\nSHA256:\n'), refusesWith('RELEASE_MALFORMED'));
  });

  it('refuses lines that are no entries', () => {
    for (const line of [
      `${SHA256} 1`,
      `${SHA256.slice(1)} 1 a`,
      `${SHA256}0 1 a`,
      `${'g'.repeat(64)} 1 a`,
      `${SHA256} -1 a`,
      `${SHA256} 1.5 a`,
      `${SHA256} 1 a b`,
      SHA256,
      `${SHA256} ${'9'.repeat(16)} a`,
    ]) {
      assert.throws(() => parse(`SHA256:\n ${line}\n`), refusesWith('RELEASE_MALFORMED'), line);
    }
  });

  it('refuses what is not one stanza of UTF-8', () => {
    assert.throws(() => parse(''), refusesWith('RELEASE_MALFORMED'));
    assert.throws(() => parse('<html>\n'), refusesWith('RELEASE_MALFORMED'));
    assert.throws(
      () => parse(`SHA256:\n ${SHA256} 1 a\n\nSHA256:\n ${SHA256} 1 b\n`),
      refusesWith('RELEASE_MALFORMED'),
    );
    assert.throws(
      () => parse(`SHA256:\n ${SHA256} 1 a\nsha256:\n ${SHA256} 1 b\n`),
      refusesWith('RELEASE_MALFORMED'),
    );
    assert.throws(
      () => parseRelease(Buffer.from(`Label: \xe9\nSHA256:\n ${SHA256} 1 a\n`, 'latin1')),
      refusesWith('RELEASE_MALFORMED'),
    );
  });

  it('refuses paths that leave the suite, or lie where others write', () => {
    const paths = [
      '../x',
      '/x',
      'main/source/Release/../../../../etc/passwd',
      'a%2fb',
      'main//Packages',
      'main/',
      'dists/sid/main/Packages',
      '.debgeo/x',
      'main/by-hash/SHA256/x',
      'by-hash/x',
      'updates/InRelease',
      'updates/Release.gpg',
    ];

    for (const path of paths)
      assert.throws(() => listing(['Packages', path]), refusesWith('HOSTILE_PATH'), path);
  });

  it('drops an index under a name that apt never asks for, and takes nothing from it', () => {
    assert.deepEqual([...listing(['a', './b', 'main/./c']).entries.keys()], ['a']);
    assert.throws(
      () => parse(`SHA256:\n ${SHA256} 1 ./a\nMD5Sum:\n ${'1'.repeat(32)} 1 a\n`),
      refusesWith('RELEASE_MALFORMED'),
    );
  });

  it('refuses a digest in capitals, which to apt is that of no file', () => {
    for (const digest of [SHA256.toUpperCase(), `A${SHA256.slice(1)}`])
      assert.throws(() => parse(`SHA256:\n ${digest} 1 a\n`), refusesWith('RELEASE_MALFORMED'));
  });

  it('drops entries for the Release set itself, not those for Release files of components', () => {
    assert.deepEqual(
      [
        ...listing([
          'InRelease',
          './Release',
          'Release.gpg',
          'main/binary-amd64/Release',
        ]).entries.keys(),
      ],
      ['main/binary-amd64/Release'],
    );
  });

  it('bounds the entries and their sizes', () => {
    assert.throws(
      () => parse(`SHA256:\n ${SHA256} ${LIMITS.indexBytes + 1} a\n`),
      refusesWith('LIMIT_EXCEEDED'),
    );
    assert.throws(
      () => listing(Array.from({ length: LIMITS.releaseEntries + 1 }, (_, number) => `${number}`)),
      refusesWith('LIMIT_EXCEEDED'),
    );
  });

  it('accepts dates of RFC 1123 in UTC', () => {
    for (const zone of ['UTC', 'GMT', 'Z', '+0000'])
      assert.equal(withDate(`Thu, 29 Feb 2024 09:07:05 ${zone}`), '2024-02-29T09:07:05.000Z');
    assert.equal(withDate('Thu,  1 Feb 2024  9:07:05 UTC'), '2024-02-01T09:07:05.000Z');
  });

  it('refuses other zones and dates that do not exist', () => {
    const dates = [
      '',
      'Sat, 10 Feb 2024 11:07:25 CET',
      'Sat, 10 Feb 2024 11:07:25 +0100',
      'Sat, 10 Feb 2024 11:07:25',
      '2024-02-10T11:07:25Z',
      'Fri, 30 Feb 2024 11:07:25 UTC',
      'Sat, 10 Foo 2024 11:07:25 UTC',
      'Sat, 10 Feb 2024 24:07:25 UTC',
      'Sat, 10 Feb 2024 11:60:25 UTC',
      'Sat, 10 Feb 2024 11:07:60 UTC',
      'Sat, 10 Feb 0024 11:07:25 UTC',
      '10 Feb 2024 11:07:25 UTC',
      'Xyz, 10 Feb 2024 11:07:25 UTC',
    ];

    for (const date of dates)
      assert.throws(() => withDate(date), refusesWith('RELEASE_MALFORMED'), date);
    assert.throws(
      () => parse(`Valid-Until: never\nSHA256:\n ${SHA256} 1 a\n`),
      refusesWith('RELEASE_MALFORMED'),
    );
  });

  it('reads Acquire-By-Hash as apt reads a boolean', () => {
    const byHash = (value: string) =>
      parse(`Acquire-By-Hash: ${value}\nSHA256:\n ${SHA256} 1 a\n`).acquireByHash;

    // tried with apt 2.6.2: an archive that has its index by-hash only
    for (const value of ['yes', 'Yes', 'true', 'on', '1', 'force', '2', '0x1', '+1', '01', 'noo'])
      assert.equal(byHash(value), true, value);
    for (const value of ['no', 'Disable', 'without', '', '0', '00', '0x0', '-0'])
      assert.equal(byHash(value), false, value);
    assert.throws(() => byHash('\n yes'), refusesWith('RELEASE_MALFORMED'));
  });
});

describe('suiteFolder', () => {
  it('puts suites below dists, and takes a slash at the end as a flat archive', () => {
    assert.equal(suiteFolder('bookworm'), 'dists/bookworm');
    assert.equal(suiteFolder('stretch/updates'), 'dists/stretch/updates');
    for (const root of ['./', '/']) assert.equal(suiteFolder(root), '.');
    for (const folder of ['sub/', './sub/']) assert.equal(suiteFolder(folder), 'sub');
  });

  it('refuses folders outside of the archive', () => {
    for (const suite of ['', '..', '../', '/etc/', 'a/../..', '//'])
      assert.throws(() => suiteFolder(suite), refusesWith('HOSTILE_PATH'), suite);
  });
});
