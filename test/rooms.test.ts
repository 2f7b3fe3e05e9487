/**
 * The table of rooms in ARCHITECTURE.md says what .oxlintrc.json allows, file by file: no room
 * without a row, no row without a room, and nothing more or less in "may import".
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, matchesGlob, relative } from 'node:path';
import { describe, it } from 'node:test';

interface Pattern {
  readonly group: readonly string[];
  readonly allowTypeImports?: boolean;
}
interface Override {
  readonly files: readonly string[];
  readonly rules: {
    readonly 'no-restricted-imports'?: readonly ['error', { readonly patterns: Pattern[] }];
  };
}
interface Row {
  readonly room: string;
  /** Files of the room, from the root. */
  readonly files: readonly string[];
  readonly mayImport: string;
}

const root = dirname(import.meta.dirname);
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const HOUSE = globSync('{src,activities,workflows}/**/*.ts', { cwd: root }).sort();
const OUTSIDE = globSync('{bench,test}/**/*.ts', { cwd: root }).sort();
const { overrides } = JSON.parse(read('.oxlintrc.json')) as { overrides: readonly Override[] };

const codeIn = (cell: string): string[] =>
  [...cell.matchAll(/`([^`]+)`/g)].flatMap(([, text]) => expand(text!));

/** `src/{deps,log}.ts` is two paths. */
function expand(text: string): string[] {
  const [, before, words, after] = /^(.*)\{(.*)\}(.*)$/.exec(text) ?? [];
  return words === undefined ? [text] : words.split(',').map((word) => before + word + after);
}

const isIn = (path: string, places: readonly string[]): boolean =>
  places.some((place) => path === place || path.startsWith(`${place.replace(/\/$/, '')}/`));

const TABLE: readonly Row[] = /\n## Rooms\n([^]*?)\n## /
  .exec(read('ARCHITECTURE.md'))![1]!
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) => {
    const [room, , mayImport] = line.split('|').slice(1, -1);
    const places = codeIn(room!);
    return {
      room: room!.trim(),
      files: HOUSE.filter((path) => isIn(path, places)),
      mayImport: mayImport!.trim(),
    };
  });

/** `domain` is `src/domain`; what is not below `src/` stands as it is. */
const places = (cell: string): string[] =>
  codeIn(cell).flatMap((name) => [name, join('src', name)]);

/** What the table lets a room import, as `path` or `type path`. */
function saidOf({ files, mayImport }: Row): string[] {
  const others = HOUSE.filter((path) => !files.includes(path));
  if (mayImport === 'every room') return others;
  const [, typesOf = ''] = /types of (`[^`]+`)/.exec(mayImport) ?? [];
  const whole = places(mayImport.replace(typesOf, ''));
  return [
    ...others.filter((path) => isIn(path, whole)),
    ...others.filter((path) => isIn(path, places(typesOf))).map((path) => `type ${path}`),
  ];
}

/** As oxlint reads a pattern: `*` is within a folder, `**` any depth. */
const matches = (specifier: string, pattern: string): boolean => {
  const text = pattern
    .replaceAll('.', '\\.')
    .replaceAll('**', '\0')
    .replaceAll('*', '[^/]*')
    .replaceAll('\0', '.*');
  return new RegExp(`^${text}$`).test(specifier);
};

/** The last pattern of a group that matches decides. */
const isRestricted = (specifier: string, { group }: Pattern): boolean =>
  group.findLast((pattern) => matches(specifier, pattern.replace(/^!/, '')))?.startsWith('!') ===
  false;

/** The last override that names a file decides. */
const patternsFor = (file: string): readonly Pattern[] =>
  overrides.findLast(
    ({ files, rules }) =>
      rules['no-restricted-imports'] && files.some((glob) => matchesGlob(file, glob)),
  )?.rules['no-restricted-imports']![1].patterns ?? [];

/** What .oxlintrc.json lets a file import of others, as `path` or `type path`. */
const lintedOf = (file: string, others: readonly string[]): string[] =>
  others.flatMap((other) => {
    const specifier = relative(dirname(file), other).replace(/^(?!\.)/, './');
    const against = patternsFor(file).filter((pattern) => isRestricted(specifier, pattern));
    if (against.length === 0) return [other];
    return against.every(({ allowTypeImports }) => allowTypeImports) ? [`type ${other}`] : [];
  });

describe('the rooms of ARCHITECTURE.md', () => {
  it('has every file of the house in one row', () => {
    const inRows = TABLE.flatMap(({ files }) => files);
    assert.deepEqual(inRows.toSorted(), HOUSE);
    for (const { room, files } of TABLE) assert.notEqual(files.length, 0, room);
  });

  for (const row of TABLE)
    it(`${row.room} may import what .oxlintrc.json allows`, () => {
      const others = [...HOUSE.filter((path) => !row.files.includes(path)), ...OUTSIDE];
      const said = saidOf(row).toSorted();
      for (const file of row.files)
        assert.deepEqual(lintedOf(file, others).toSorted(), said, `as ${file} is linted`);
    });

  it('names nothing in "may import" that does not exist', () => {
    for (const { room, mayImport } of TABLE)
      for (const name of codeIn(mayImport))
        assert.ok(
          HOUSE.some((path) => isIn(path, [name, join('src', name)])),
          `${room}: ${name}`,
        );
  });
});
