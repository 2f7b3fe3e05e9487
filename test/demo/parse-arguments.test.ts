import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';

import { parseArguments, type Arguments } from '../../src/demo/parse-arguments.ts';

const KEYRING = import.meta.filename;
const good = [
  '--archive',
  'https://deb.example.org/debian',
  '--suite',
  'stable',
  '--keyring',
  KEYRING,
];

const parsed = (...args: string[]): Arguments => {
  const found = parseArguments(args);
  assert.ok('keep' in found, JSON.stringify(found));
  return found;
};

/** As npm does when it is called in this folder. */
const calledIn = <T>(folder: string, work: () => T): T => {
  const before = process.env['INIT_CWD'];
  process.env['INIT_CWD'] = folder;
  try {
    return work();
  } finally {
    if (before === undefined) delete process.env['INIT_CWD'];
    else process.env['INIT_CWD'] = before;
  }
};

test('without an archive the demo makes its own', () => {
  const own = { keep: true, gitlab: false, foreign: null, remarks: [] };
  assert.deepEqual(parsed('--keep'), own);
  assert.deepEqual(parsed('--gitlab', '--keep'), { ...own, gitlab: true });
});

test('an archive is a URL, or a folder relative to the one in which npm was called', () => {
  assert.equal(parsed(...good).foreign!.url, 'https://deb.example.org/debian');
  const folder = calledIn('/srv', () =>
    parsed('--archive', 'my mirror', '--suite', 'stable', '--unsigned'),
  );
  assert.equal(folder.foreign!.url, pathToFileURL(join('/srv', 'my mirror')).href);
  assert.equal(folder.foreign!.keyring, null);
});

test('./ is read as the root of a flat archive, with a remark', () => {
  const { foreign, remarks } = parsed(...good, '--suite', './');

  assert.deepEqual([foreign!.suite, remarks.length], ['/', 1]);
  assert.deepEqual(parsed(...good, '--suite', 'sub/').remarks, []);
});

for (const [what, args, faults] of [
  ['a suite alone', ['--suite', 'stable'], 2],
  ['a component alone', ['--component', 'main'], 3],
  ['a keyring with --unsigned', [...good, '--unsigned'], 1],
  [
    'a keyring that is not there',
    ['--archive', '/srv', '--suite', 'stable', '--keyring', '/nowhere/keyring.gpg'],
    1,
  ],
  ['a URL of another kind', [...good, '--archive', 'ftp://deb.example.org/debian'], 1],
  [
    'architectures, none of them of a machine',
    [...good, '--architecture', 'all', '--architecture', 'source'],
    1,
  ],
  ['a GitLab, and another archive', [...good, '--gitlab'], 1],
  ['an option that does not exist', ['--mirror'], 1],
  ['an argument without an option', ['https://deb.example.org/debian'], 1],
] as const) {
  test(`${what}: ${faults} ${faults === 1 ? 'fault' : 'faults'} at once`, () => {
    const found = parseArguments(args);

    assert.ok(Array.isArray(found));
    assert.equal(found.length, faults, found.join('\n'));
  });
}
