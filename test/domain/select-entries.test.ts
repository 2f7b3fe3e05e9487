import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { parseRelease } from '../../src/domain/release.ts';
import { selectEntries } from '../../src/domain/select-entries.ts';
import { refusesWith } from '../support/refuses-with.ts';

/** A Release that lists the paths. */
const listing = (paths: readonly string[], head = '') =>
  parseRelease(
    Buffer.from(
      `${head}SHA256:\n${paths.map((path) => ` ${'a'.repeat(64)} 1 ${path}\n`).join('')}`,
    ),
  );

describe('selectEntries', () => {
  const PATHS = [
    'Contents-amd64.gz',
    'main/Contents-amd64.gz',
    'main/Contents-arm64.gz',
    'main/Contents-udeb-arm64.gz',
    'main/Contents-all.gz',
    'main/Contents-source.gz',
    'main/Contents-arm64.diff/Index',
    'main/binary-amd64/Packages.xz',
    'main/binary-amd64/Packages.diff/Index',
    'main/binary-amd64/Release',
    'main/binary-all/Packages.xz',
    'main/binary-arm64/Packages.xz',
    'main/debian-installer/binary-amd64/Packages.xz',
    'main/debian-installer/binary-arm64/Packages.xz',
    'main/installer-amd64/current/images/SHA256SUMS',
    'main/installer-arm64/current/images/SHA256SUMS',
    'main/source/Sources.xz',
    'main/i18n/Translation-en.xz',
    'main/dep11/Components-amd64.yml.gz',
    'main/dep11/Components-arm64.yml.gz',
    'main/dep11/icons-64x64.tar.gz',
    'main/cnf/Commands-amd64.xz',
    'main/cnf/Commands-arm64.xz',
    'contrib/binary-amd64/Packages.xz',
    'other/readme',
  ];
  const release = listing(PATHS, 'Components: main contrib\nArchitectures: all amd64 arm64\n');
  const select = (components: string[], architectures: string[], from = release) =>
    selectEntries(from, { components, architectures }).map((entry) => entry.path);

  it('selects everything with empty lists', () => {
    assert.deepEqual(select([], []), PATHS);
  });

  it('selects a component, and what belongs to none', () => {
    assert.deepEqual(select(['contrib'], []), [
      'Contents-amd64.gz',
      'contrib/binary-amd64/Packages.xz',
      'other/readme',
    ]);
    assert.deepEqual(
      select(['main'], []),
      PATHS.filter((path) => !path.startsWith('contrib/')),
    );
  });

  it('selects an architecture, all, and what belongs to none', () => {
    const arm64 = [
      'main/Contents-arm64.gz',
      'main/Contents-udeb-arm64.gz',
      'main/Contents-all.gz',
      'main/Contents-arm64.diff/Index',
      'main/binary-all/Packages.xz',
      'main/binary-arm64/Packages.xz',
      'main/debian-installer/binary-arm64/Packages.xz',
      'main/installer-arm64/current/images/SHA256SUMS',
      'main/i18n/Translation-en.xz',
      'main/dep11/Components-arm64.yml.gz',
      'main/dep11/icons-64x64.tar.gz',
      'main/cnf/Commands-arm64.xz',
      'other/readme',
    ];

    assert.deepEqual(select([], ['arm64']), arm64);
  });

  it('selects source only when asked for, and without all', () => {
    assert.deepEqual(select(['main'], ['source']), [
      'main/Contents-source.gz',
      'main/source/Sources.xz',
      'main/i18n/Translation-en.xz',
      'main/dep11/icons-64x64.tar.gz',
      'other/readme',
    ]);
    assert.equal(select(['main'], ['amd64', 'source']).includes('main/source/Sources.xz'), true);
    assert.equal(
      select(['main'], ['amd64', 'source']).includes('main/binary-all/Packages.xz'),
      true,
    );
  });

  it('knows components by their whole name and by their last part, as apt does', () => {
    const paths = ['main/binary-amd64/Packages', 'contrib/binary-amd64/Packages'];
    const security = listing(paths, 'Components: updates/main updates/contrib\n');
    const literal = listing(
      ['updates/main/x', 'updates/contrib/x'],
      'Components: updates/main updates/contrib\n',
    );

    assert.deepEqual(select(['main'], [], security), ['main/binary-amd64/Packages']);
    assert.deepEqual(select(['updates/main'], [], security), ['main/binary-amd64/Packages']);
    assert.deepEqual(select(['main'], [], literal), ['updates/main/x']);
  });

  it('gives an entry to the component with the longest folder', () => {
    const nested = listing(
      ['stable/binary-amd64/Packages', 'stable/v17/binary-amd64/Packages'],
      'Components: stable stable/v17\n',
    );

    assert.deepEqual(select(['stable'], [], nested), ['stable/binary-amd64/Packages']);
    assert.deepEqual(select(['stable/v17'], [], nested), ['stable/v17/binary-amd64/Packages']);
  });

  it('does not take main for the beginning of another name', () => {
    const similar = listing(['main/x', 'main-extra/x'], 'Components: main main-extra\n');

    assert.deepEqual(select(['main'], [], similar), ['main/x']);
  });

  it('refuses what Release does not name', () => {
    assert.throws(() => select(['non-free'], []), refusesWith('SELECTION_UNKNOWN'));
    assert.throws(() => select(['main', 'non-free'], []), refusesWith('SELECTION_UNKNOWN'));
    assert.throws(() => select([], ['amd64', 'riscv64']), refusesWith('SELECTION_UNKNOWN'));
    assert.throws(
      () => select([], ['source'], listing(['main/binary-amd64/Packages'])),
      refusesWith('SELECTION_UNKNOWN'),
    );
    assert.throws(
      () => select(['main'], [], listing(['Packages'])),
      refusesWith('SELECTION_UNKNOWN'),
    );
  });
});
