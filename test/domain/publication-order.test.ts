import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { publicationOrder } from '../../src/domain/publication-order.ts';
import { parseRepoPath } from '../../src/domain/repo-path.ts';
import { sha256Of } from '../../src/domain/sha256.ts';
import type { PublishedName } from '../../src/domain/snapshot.ts';
import { refusesWith } from '../support/refuses-with.ts';

const A = sha256Of(Buffer.from('a'));
const wanted = (path: string): PublishedName => ({ path: parseRepoPath(path), sha256: A, size: 1 });
const absent = (path: string): PublishedName => ({
  path: parseRepoPath(path),
  sha256: null,
  size: 0,
});
const order = (names: PublishedName[], present: string[], folder = 'dists/sid') =>
  publicationOrder(names, present.map(parseRepoPath), folder);

const S = 'dists/sid';

describe('publicationOrder', () => {
  it('publishes indices, then Release.gpg and Release, and InRelease last', () => {
    const names = [
      wanted(`${S}/InRelease`),
      wanted(`${S}/Release`),
      wanted(`${S}/main/Sources`),
      wanted(`${S}/Release.gpg`),
      wanted(`${S}/main/Packages`),
    ];

    assert.deepEqual(order(names, []), {
      indices: [wanted(`${S}/main/Packages`), wanted(`${S}/main/Sources`)],
      removals: [],
      releaseGpg: wanted(`${S}/Release.gpg`),
      release: wanted(`${S}/Release`),
      inRelease: wanted(`${S}/InRelease`),
    });
  });

  it('counts a Release file of a component as an index', () => {
    const plan = order([wanted(`${S}/InRelease`), wanted(`${S}/main/binary-amd64/Release`)], []);

    assert.deepEqual(plan.indices, [wanted(`${S}/main/binary-amd64/Release`)]);
    assert.equal(plan.release, null);
  });

  it('removes what the site has and the snapshot lacks: absent, or not listed any more', () => {
    const names = [
      wanted(`${S}/InRelease`),
      wanted(`${S}/main/Packages.gz`),
      absent(`${S}/main/Packages.xz`),
      absent(`${S}/main/Packages`),
    ];
    const plan = order(names, [
      `${S}/main/Packages.xz`,
      `${S}/main/Packages.gz`,
      `${S}/main/Contents-all`,
      `${S}/InRelease`,
    ]);

    assert.deepEqual(plan.removals, [`${S}/main/Contents-all`, `${S}/main/Packages.xz`]);
    assert.deepEqual(plan.indices, [wanted(`${S}/main/Packages.gz`)]);
  });

  it('removes InRelease last when the archive has none', () => {
    const names = [wanted(`${S}/Release`), wanted(`${S}/Release.gpg`), absent(`${S}/InRelease`)];
    const plan = order(names, [`${S}/InRelease`]);

    assert.deepEqual(plan.inRelease, absent(`${S}/InRelease`));
    assert.deepEqual(plan.removals, []);
    assert.deepEqual(plan.release, wanted(`${S}/Release`));
    assert.deepEqual(order(names, []).inRelease, absent(`${S}/InRelease`));
  });

  it('removes Release and Release.gpg that the archive lacks, where the site has them', () => {
    const names = [wanted(`${S}/InRelease`), absent(`${S}/Release`)];

    assert.deepEqual(
      order(names, [`${S}/Release`, `${S}/Release.gpg`]).release,
      absent(`${S}/Release`),
    );
    assert.deepEqual(
      order(names, [`${S}/Release`, `${S}/Release.gpg`]).releaseGpg,
      absent(`${S}/Release.gpg`),
    );
    assert.deepEqual([order(names, []).release, order(names, []).releaseGpg], [null, null]);
  });

  it('orders flat archives too', () => {
    const plan = order([wanted('InRelease'), wanted('Packages.gz')], ['Packages'], '.');

    assert.deepEqual(plan, {
      indices: [wanted('Packages.gz')],
      removals: ['Packages'],
      releaseGpg: null,
      release: null,
      inRelease: wanted('InRelease'),
    });
  });

  it('refuses to take a distribution off the site', () => {
    assert.throws(
      () => order([], [`${S}/InRelease`, `${S}/main/Packages`]),
      refusesWith('RELEASE_MISSING'),
    );
    assert.throws(
      () =>
        order(
          [absent(`${S}/InRelease`), absent(`${S}/Release`), wanted(`${S}/main/Packages`)],
          [`${S}/Release`],
        ),
      refusesWith('RELEASE_MISSING'),
    );
  });

  it('refuses names of other suites', () => {
    assert.throws(
      () => order([wanted(`${S}/InRelease`), wanted('dists/sid-updates/main/Packages')], []),
      refusesWith('HOSTILE_PATH'),
    );
    assert.throws(
      () => order([wanted(`${S}/InRelease`)], ['dists/bookworm/main/Packages']),
      refusesWith('HOSTILE_PATH'),
    );
  });
});
