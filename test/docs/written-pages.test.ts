/**
 * What README, ARCHITECTURE and docs/ name exists: files, headings, scripts, commands, keys of the
 * configuration.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'node:test';

import { parseConfiguration } from '../../src/settings/configuration.ts';

const root = dirname(dirname(import.meta.dirname));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

const WRITTEN = globSync(['*.md', 'docs/*.md', 'bench/README.md'], { cwd: root }).sort();
const withoutBlocks = (page: string): string => page.replaceAll(/^```[^]*?^```/gm, '');
const blocksOf = (page: string, language: string): string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'gm'))].map(
    ([, text]) => text!,
  );

/** As GitHub names the headings of a page. */
const anchorsOf = (path: string): string[] =>
  [...withoutBlocks(read(path)).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );

const FILES = globSync(['*', 'docs/*', '{src,activities,workflows,test,bench}/**'], { cwd: root });
const FOLDERS = new Set(
  ['.', 'src', 'test'].flatMap((folder) =>
    readdirSync(join(root, folder), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name),
  ),
);

/** A path from the root, from `src` or from `test`, or the name of a file of ours; else null. */
function pathIn(code: string): string | null {
  if (!/^\w[\w.-]*(\/[\w.-]+)*\/?$/.test(code)) return null;
  const isOfOurs = code.includes('/') ? FOLDERS.has(code.split('/')[0]!) : /\.(ts|md)$/.test(code);
  return isOfOurs ? code.replace(/\/$/, '') : null;
}

const isThere = (path: string): boolean =>
  [path, `src/${path}`, `test/${path}`, `test/${path}.ts`, `test/${path}.test.ts`].some((place) =>
    existsSync(join(root, place)),
  ) || FILES.some((file) => file.endsWith(`/${path}`));

/** `src/{deps,log}.ts` is two paths. */
function expand(code: string): string[] {
  const [, before, words, after] = /^(.*)\{(.*)\}(.*)$/.exec(code) ?? [];
  return words === undefined ? [code] : words.split(',').map((word) => before + word + after);
}

/** What a page names and does not find. */
function missingOf(path: string, page: string): string[] {
  const text = withoutBlocks(page);
  const links = [...text.matchAll(/\]\((?!https?:)([^)\s#]*)(?:#([^)\s]*))?\)/g)];
  const paths = [...text.matchAll(/`([^`]+)`/g)]
    .flatMap(([, code]) => expand(code!))
    .flatMap((code) => pathIn(code) ?? []);
  return [
    ...links
      .filter(([, to, anchor]) => {
        const target = to === '' ? path : join(dirname(path), to!);
        if (!existsSync(join(root, target))) return true;
        return anchor !== undefined && !anchorsOf(target).includes(anchor);
      })
      .map(([link]) => link),
    ...paths.filter((one) => !isThere(one)),
  ];
}

for (const path of WRITTEN)
  test(`${path} names only files and headings that exist`, () => {
    assert.deepEqual(missingOf(path, read(path)), []);
  });

test('a file or heading that does not exist is missed', () => {
  const page = `[gone](docs/gone.md) [no heading](README.md#gone) [there](docs/errors.md#errors)
    \`src/gone.ts\` \`domain/{errors,gone}.ts\` \`gone.ts\` \`scenarios/gone\` \`src/gone/\`
    \`src/domain/errors.ts\` \`errors.ts\` \`scenarios/a-site-never-goes-back\` \`dists/x\``;

  assert.deepEqual(missingOf('README.md', page), [
    '](docs/gone.md)',
    '](README.md#gone)',
    'src/gone.ts',
    'domain/gone.ts',
    'gone.ts',
    'scenarios/gone',
    'src/gone',
  ]);
});

const COMMANDS = [
  ...execFileSync(process.execPath, [join(root, 'src/main.ts'), '--help'])
    .toString()
    .matchAll(/^ {2}([a-z]+) \[options\]/gm),
].map(([, name]) => name!);

test('pages name only scripts and commands that exist', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  for (const path of WRITTEN) {
    const page = read(path);
    for (const [, script] of page.matchAll(/npm run (?:-s )?([a-z:-]*[a-z])/g))
      assert.ok(Object.hasOwn(scripts, script!), `${path}: npm run ${script}`);
    for (const [, name] of page.matchAll(
      /(?:`debgeo|\$ debgeo|debgeo --|(?:rm|:ro) worker) ([a-z]+)/g,
    ))
      assert.ok(COMMANDS.includes(name!), `${path}: debgeo ${name}`);
  }
});

test('README says what each command does', () => {
  const cells = [...read('README.md').matchAll(/^\| (`.*?) \|/gm)].map(([, cell]) => cell!);
  const named = cells.flatMap((cell) =>
    [...cell.matchAll(/`([a-z]+)[` ]/g)].map(([, name]) => name!),
  );

  assert.deepEqual(named.toSorted(), COMMANDS.filter((name) => name !== 'help').toSorted());
});

for (const path of ['README.md', 'docs/operating.md'])
  test(`the configuration in ${path} is one that apply takes`, () => {
    const [sample] = blocksOf(read(path), 'yaml');
    const text = sample!.replace(/keyring: \S+/, 'keyring: package.json');
    const { distributions } = parseConfiguration(text, join(root, 'debgeo.yaml'));

    assert.deepEqual(Object.keys(distributions), ['bookworm-updates']);
  });

test('the configuration in docs/gitlab.md is one that apply takes', () => {
  const [sample] = blocksOf(read('docs/gitlab.md'), 'yaml');
  const text = sample!.replace(/keyring: \S+/, 'keyring: package.json');
  const { archives, distributions } = parseConfiguration(text, join(root, 'debgeo.yaml'));

  assert.deepEqual(Object.keys(archives['tools']!.login!), ['user', 'password']);
  assert.equal(archives['tools']!.url.split('/').at(-3), 'acme%2Ftools');
  assert.deepEqual(distributions['tools-sid']!.sites, ['fra', 'sin']);
});

test('the site in docs/docker.md is one that apply takes, with the credential of compose', () => {
  const [sample] = blocksOf(read('docs/docker.md'), 'yaml');
  const { sites } = parseConfiguration(sample!, join(root, 'debgeo.yaml'));

  for (const { credential } of Object.values(sites))
    assert.ok('env' in credential && read('docker-compose.yml').includes(`${credential.env}:`));
});

test('the first pages stay short', () => {
  assert.ok(read('README.md').trimEnd().split('\n').length <= 130);
  assert.ok(read('ARCHITECTURE.md').trim().split(/\s+/).length <= 1_400);
});
