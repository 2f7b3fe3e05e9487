import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

import { configurationPage } from '../../src/docs/configuration-page.ts';
import { PAGES } from '../../src/docs/pages.ts';
import { RULES } from '../../src/domain/errors.ts';
import { ENVIRONMENT, readServerEnvironment } from '../../src/settings/environment.ts';

const root = dirname(dirname(import.meta.dirname));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const sources = globSync('{src,activities,workflows}/**/*.ts', { cwd: root });

for (const [path, page] of Object.entries(PAGES))
  test(`${path} is what npm run docs makes`, () => {
    assert.equal(read(path), page());
  });

test('generated pages are 100 columns wide at most, but for tables', () => {
  const lines = Object.values(PAGES).flatMap((page) => page().split('\n'));

  assert.deepEqual(
    lines.filter((line) => line.length > 100 && !line.startsWith('|')),
    [],
  );
  assert.ok(
    lines.some((line) => line.startsWith('  ')),
    'long items go on in the next line',
  );
});

/**
 * Codes that a source gives to an error: comparisons, lists to compare with, types and comments do
 * not count.
 */
const raisedIn = (source: string): Set<string> => {
  const code = source
    .replaceAll(/\/\*[\s\S]*?\*\//g, '')
    .replaceAll(/(^|\s)\/\/.*$/gm, '')
    .replaceAll(/[=!]==\s*'[A-Z_]+'/g, '')
    .replaceAll(/\[\s*(?:'[A-Z_]+',?\s*)+\]/g, '')
    .replaceAll(/'[A-Z_]+'(?:\s*\|\s*'[A-Z_]+')+/g, '');
  return new Set([...code.matchAll(/'([A-Z]+(?:_[A-Z]+)*)'/g)].map(([, name]) => name!));
};

test('every error code is given to an error somewhere', () => {
  const raised = new Set(
    sources
      .filter((path) => path !== 'src/domain/errors.ts' && !path.startsWith('src/demo/'))
      .flatMap((path) => [...raisedIn(read(path))]),
  );

  assert.deepEqual(
    Object.keys(RULES).filter((code) => !raised.has(code)),
    [],
  );
});

test('a code that is compared, listed, a type or in a comment is not given to an error', () => {
  const source = `
    // throw new DebgeoError('A_A')
    /** 'B_B' */
    if (error.code === 'C_C' || ['D_D', 'E_E'].includes(error.code))
      throw new DebgeoError('F_F', 'text');
    type Some = 'G_G' | 'H_H';`;

  assert.deepEqual([...raisedIn(source)], ['F_F']);
});

/** Of the system and of npm: no settings of debgeo. */
const OF_THE_SYSTEM = ['PATH', 'XDG_CACHE_HOME', 'INIT_CWD'];
const READ_BY = [
  { prefix: 'TEMPORAL_', library: '@temporalio/envconfig' },
  { prefix: 'AZURE_', library: '@azure/identity' },
];

/** The variables that the reader of settings asks for. */
const readBySettings = (): string[] => {
  const names = new Set<string>();
  const valueOf = (_: object, name: string): string | undefined => {
    names.add(name);
    return name === 'DATABASE_URL' ? 'postgresql://localhost/debgeo' : undefined;
  };
  readServerEnvironment(new Proxy({}, { get: valueOf }));
  return [...names];
};

/** The variables that a source reads by name, not by what the reader of settings answers. */
const namedIn = (source: string): string[] =>
  [
    ...source.matchAll(
      /\b(?:process\.env(?:\.|\[')|(?:environment|set|variables)\[')([A-Z][A-Z_]+)/g,
    ),
  ].map(([, name]) => name!);

test('every environment variable that debgeo reads is described, and no other', () => {
  const described = Object.keys(ENVIRONMENT);

  assert.deepEqual(
    new Set(
      readBySettings()
        .filter((name) => !OF_THE_SYSTEM.includes(name))
        .map((name) => name.toUpperCase()), // http_proxy is described beside HTTP_PROXY
    ),
    new Set(described.filter((name) => !READ_BY.some(({ prefix }) => name.startsWith(prefix)))),
  );
  for (const { prefix, library } of READ_BY) {
    const folder = dirname(fileURLToPath(import.meta.resolve(library)));
    const code = globSync('**/*.js', { cwd: folder })
      .map((name) => readFileSync(join(folder, name), 'utf8'))
      .join('\n');
    for (const name of described.filter((one) => one.startsWith(prefix)))
      assert.ok(code.includes(name), name);
  }
});

test('the environment is read in one place; secrets alone have names of their own', () => {
  const elsewhere = sources.filter((path) => path !== 'src/settings/environment.ts');

  assert.deepEqual(
    elsewhere
      .flatMap((path) => namedIn(read(path)))
      .filter((name) => !OF_THE_SYSTEM.includes(name)),
    [],
  );
  assert.deepEqual(
    elsewhere.filter((path) => /process\.env\[(?!')|Secrets\(process\.env/.test(read(path))),
    ['src/deps.ts'],
  );
  assert.deepEqual(namedIn("const ms = process.env['DEBGEO_MS'];"), ['DEBGEO_MS'], 'planted');
});

test('every key of the configuration says its form and meaning', () => {
  const rows = configurationPage()
    .split('\n')
    .filter((line) => line.startsWith('| `'));

  assert.ok(rows.length > 20);
  for (const row of rows) {
    const cells = row.split(/(?<!\\)\|/).slice(1, -1);
    assert.equal(cells.length, 4, row);
    for (const cell of cells) assert.notEqual(cell.trim(), '', row);
  }
});
