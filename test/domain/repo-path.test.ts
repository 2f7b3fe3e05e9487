import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { LIMITS } from '../../src/domain/limits.ts';
import {
  aptQuote,
  isByHash,
  joinPath,
  parseRepoPath,
  poolPath,
  sitePath,
} from '../../src/domain/repo-path.ts';
import { refusesWith } from '../support/refuses-with.ts';
import { seeded } from '../support/seeded.ts';

describe('parseRepoPath', () => {
  it('keeps names as they are written', () => {
    const names = [
      'pool/main/g/g++/g++_13.2.0-1~bpo12+1_amd64.deb',
      'pool/main/a/a_1%3a2_all.deb',
      'pool/b%25/100%_b',
      'a b/ü/日本',
      '..a/b..c',
      '.hidden',
    ];

    for (const name of names) assert.equal(parseRepoPath(name), name);
  });

  it('normalises ./ away', () => {
    assert.equal(parseRepoPath('./x.deb'), 'x.deb');
    assert.equal(parseRepoPath('././a/././b'), 'a/b');
  });

  it('refuses what could be another path somewhere', () => {
    const leaving = [
      '',
      '.',
      './',
      '..',
      '../a',
      'a/..',
      'a/../b',
      './../a',
      '/a',
      '//a',
      './/a',
      'a//b',
      'a/',
      'a/.',
      'a/./',
      'a.',
      'a./b',
      '...',
      'a/.../b',
    ];
    const letters = [
      'a\\b',
      '..\\a',
      'a\0',
      'a\nb',
      'a\rb',
      'a\tb',
      'a\u007f',
      'a\u0085b',
      'a?b',
      'a#b',
      'a\ufffdb',
      'a\ud800b',
    ];
    const encoded = [
      'a%2fb',
      'a%2Fb',
      '%2e%2e/a',
      'a%2E',
      'a%5cb',
      'a%5Cb',
      'a%252fb',
      'a%252Eb',
      'a%255Cb',
      'a%00',
      'a%0ab',
      'a%2500',
      'a%7f',
      '%252e%252e/a',
    ];

    for (const path of [...leaving, ...letters, ...encoded])
      assert.throws(() => parseRepoPath(path), refusesWith('HOSTILE_PATH'), JSON.stringify(path));
  });

  it('refuses bytes that are no UTF-8 once they are decoded', () => {
    assert.throws(
      () => parseRepoPath(Buffer.from([0x61, 0xff, 0x62]).toString('utf8')),
      refusesWith('HOSTILE_PATH'),
    );
  });

  it('counts bytes, not characters, and segments', () => {
    assert.equal(parseRepoPath('a'.repeat(LIMITS.pathBytes)).length, LIMITS.pathBytes);
    assert.throws(
      () => parseRepoPath('a'.repeat(LIMITS.pathBytes + 1)),
      refusesWith('HOSTILE_PATH'),
    );
    assert.throws(
      () => parseRepoPath('ü'.repeat(LIMITS.pathBytes / 2 + 1)),
      refusesWith('HOSTILE_PATH'),
    );
    assert.throws(
      () =>
        parseRepoPath(
          Array(LIMITS.pathSegments + 1)
            .fill('a')
            .join('/'),
        ),
      refusesWith('HOSTILE_PATH'),
    );
  });

  it('never yields a path that a URL resolves to another place', () => {
    const random = seeded(7);
    const tokens = [
      'a',
      '.',
      '..',
      '/',
      '//',
      '%',
      '2e',
      '2f',
      '25',
      '5c',
      '\\',
      '+',
      '~',
      '?',
      '#',
      'é',
      ' ',
      ':',
      '%2E',
      '%3a',
    ];
    let accepted = 0;
    for (let round = 0; round < 20_000; round += 1) {
      const text = Array.from(
        { length: 1 + Math.floor(random() * 7) },
        () => tokens[Math.floor(random() * tokens.length)],
      ).join('');
      let path;
      try {
        path = parseRepoPath(text);
      } catch {
        continue;
      }
      accepted += 1;
      assert.equal(parseRepoPath(path), path);
      assert.equal(
        new URL(
          `http://x/site/mount/${encodeURI(path).replaceAll('%25', '%')}`,
        ).pathname.startsWith('/site/mount/'),
        true,
        path,
      );
      assert.equal(
        decodeURIComponent(new URL(`http://x/site/${aptQuote(path)}`).pathname),
        `/site/${path}`,
      );
    }
    assert.ok(accepted > 1000);
  });
});

describe('joinPath', () => {
  it('takes the empty folder and . as the root', () => {
    assert.equal(joinPath('', 'InRelease'), 'InRelease');
    assert.equal(joinPath('.', './InRelease'), 'InRelease');
    assert.equal(joinPath('dists/bookworm', './main/Packages'), 'dists/bookworm/main/Packages');
  });

  it('stays inside the folder', () => {
    for (const path of ['../x', '/x', '', '.', 'a/../../x'])
      assert.throws(() => joinPath('dists/bookworm', path), refusesWith('HOSTILE_PATH'), path);
    assert.throws(() => joinPath('dists/..', 'x'), refusesWith('HOSTILE_PATH'));
  });
});

describe('poolPath', () => {
  it('accepts pool files, flat ones too', () => {
    assert.equal(
      poolPath('pool/main/h/hello/hello_1_amd64.deb'),
      'pool/main/h/hello/hello_1_amd64.deb',
    );
    assert.equal(poolPath('./hello_1_amd64.deb'), 'hello_1_amd64.deb');
    assert.equal(poolPath('pool/dists/x.deb'), 'pool/dists/x.deb');
  });

  it('refuses the places of files that change', () => {
    const places = [
      'dists/bookworm/InRelease',
      './dists/x.deb',
      'dists',
      '.debgeo/marker',
      'InRelease',
      './Release',
      'sub/Release.gpg',
      'Packages',
      'sub/Packages.xz',
      'Sources.gz',
      'by-hash/SHA256/00',
      'sub/by-hash/x.deb',
      'Dists/bookworm/InRelease',
      '.DebGeo/marker',
      'sub/By-Hash/x.deb',
    ];

    for (const path of places)
      assert.throws(() => poolPath(path), refusesWith('HOSTILE_PATH'), path);
  });
});

describe('isByHash', () => {
  it('tells names by digest from all others', () => {
    for (const path of ['by-hash/SHA256/ab', 'dists/sid/main/by-hash/MD5Sum/ab'])
      assert.ok(isByHash(parseRepoPath(path)), path);
    for (const path of ['by-hash/SHA256', 'pool/xby-hash/SHA256/ab', 'by-hash/SHA256/ab/c'])
      assert.ok(!isByHash(parseRepoPath(path)), path);
  });
});

describe('sitePath', () => {
  it('puts the mount in front', () => {
    assert.equal(sitePath('debian', parseRepoPath('pool/x')), 'debian/pool/x');
    assert.equal(sitePath('a/b', parseRepoPath('x')), 'a/b/x');
  });

  it('refuses a mount that is no folder or leaves no room', () => {
    for (const mount of ['', '..', '/a', 'a/', 'm'.repeat(LIMITS.mountBytes + 1)])
      assert.throws(() => sitePath(mount, parseRepoPath('x')), refusesWith('HOSTILE_PATH'), mount);
  });

  it('leaves the name within the 1,024 characters of Azure', () => {
    assert.ok(LIMITS.prefixBytes + 1 + LIMITS.mountBytes + 1 + LIMITS.pathBytes <= 1024);
  });
});

describe('aptQuote', () => {
  it('quotes as apt does', () => {
    assert.equal(
      aptQuote(parseRepoPath('pool/g++_1~2 3%3a4:5_é.deb')),
      'pool/g%2b%2b_1%7e2%203%253a4:5_%c3%a9.deb',
    );
    assert.equal(aptQuote(parseRepoPath('a/😀')), 'a/%f0%9f%98%80');
    assert.equal(
      aptQuote(parseRepoPath('a-_.!*\'()@&=$,;[]{}|^`"<>')),
      'a-_.!*\'()@&=$,;[]{}|^`"<>',
    );
  });
});
