/**
 * How the source looks, as a test: columns, the length of functions, the length of files (after
 * TigerBeetle's tidy.zig). What oxfmt keeps by itself is not said here; it leaves comments, strings
 * and SQL as they are.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const ROOT = join(import.meta.dirname, '..');
const COLUMNS_MAX = 100;
const FUNCTION_LINES_MAX = 70;
const FILE_LINES_MAX = 300;
/** Tests and benches are lists of cases: a reader takes them one by one. */
const CASES_LINES_MAX = 500;

/** Files that may be longer, each with its reason. */
const LONG_FILES: Readonly<Record<string, string>> = {
  'src/domain/errors.ts': 'one table: every code with its cause, remedy and exit code',
  'src/domain/limits.ts': 'one table: every bound with its reason',
  'test/database/replications/replications.test.ts': 'every transition of the row of a lane',
};
/** Functions that may be longer: `file: first line`, each with its reason. */
const LONG_FUNCTIONS: Readonly<Record<string, string>> = {};

/** Released migrations never change, their lines neither. */
const RELEASED = /migrations\/2026-11-23-/;
const SOURCES = globSync('{src,workflows,activities,bench,test}/**/*.ts', { cwd: ROOT }).filter(
  (file) => !RELEASED.test(file),
);
const PAGES = globSync(['*.md', 'docs/**/*.md', 'bench/*.md'], { cwd: ROOT });

const linesOf = (file: string): string[] => readFileSync(join(ROOT, file), 'utf8').split('\n');

/** @returns the numbers of lines that are too wide; tables of Markdown cannot be wrapped */
function wideLines(lines: readonly string[], isPage: boolean): number[] {
  return lines.flatMap((line, index) => {
    if (Array.from(line).length <= COLUMNS_MAX) return [];
    if (isPage && line.trimStart().startsWith('|')) return [];
    // An address or a digest has no place to break: a line of one word stays whole.
    return line.trim().split(' ').length === 1 ? [] : [index + 1];
  });
}

/** What opens a block and is no function. */
const OTHER_BLOCKS = /^(?:export )?(?:default )?(?:abstract )?(?:class|interface|type|enum)\b/;
/** What registers tests is a list of them, not one train of thought. */
const REGISTERS_TESTS = /^\s*(?:await )?(?:describe|suite|test|it|t\.test)\(/;
const OPENS_FUNCTION = /(?:=>|\)|\): .+) \{$/;

/** Functions and how long they are, by the indentation that oxfmt gives them. */
function functionsOf(lines: readonly string[]): { first: string; lines: number }[] {
  const found: { first: string; lines: number }[] = [];
  for (const [start, line] of lines.entries()) {
    const indent = line.length - line.trimStart().length;
    const words = line.trim();
    if (!OPENS_FUNCTION.test(words) || OTHER_BLOCKS.test(words)) continue;
    if (/^(?:\]|if|for|while|switch|\} else if|\} catch)/.test(words)) continue;
    const closing = `${' '.repeat(indent)}}`;
    const end = lines.findIndex((other, index) => index > start && other.startsWith(closing));
    if (lines.slice(start + 1, end).some((inner) => REGISTERS_TESTS.test(inner))) continue;
    if (end > start) found.push({ first: words, lines: end - start + 1 });
  }
  return found;
}

test(`no line is wider than ${COLUMNS_MAX} columns`, () => {
  const wide = [
    ...SOURCES.map((file) => ({ file, numbers: wideLines(linesOf(file), false) })),
    ...PAGES.map((file) => ({ file, numbers: wideLines(linesOf(file), true) })),
  ].flatMap(({ file, numbers }) => numbers.map((number) => `${file}:${number}`));
  assert.deepEqual(wide, []);
});

test(`no function is longer than ${FUNCTION_LINES_MAX} lines`, () => {
  const long = SOURCES.flatMap((file) =>
    functionsOf(linesOf(file))
      .filter(({ lines }) => lines > FUNCTION_LINES_MAX)
      .map(({ first, lines }) => ({ name: `${file}: ${first}`, lines })),
  ).filter(({ name }) => LONG_FUNCTIONS[name] === undefined);
  assert.deepEqual(long, []);
});

test('no file is longer than its bound', () => {
  const isOfCases = (file: string): boolean => /^(?:test|bench)\//.test(file);
  const long = SOURCES.map((file) => ({ file, lines: linesOf(file).length - 1 })).filter(
    ({ file, lines }) =>
      lines > (isOfCases(file) ? CASES_LINES_MAX : FILE_LINES_MAX) &&
      LONG_FILES[file] === undefined,
  );
  assert.deepEqual(long, []);
});

test('every exception is needed', () => {
  const needless = Object.keys(LONG_FILES).filter(
    (file) => !SOURCES.includes(file) || linesOf(file).length - 1 <= FILE_LINES_MAX,
  );
  assert.deepEqual(needless, []);
});

test('what is too wide, too long or no function is told apart', () => {
  const wide = 'x '.repeat(60);
  assert.deepEqual(wideLines(['short', wide, `| ${wide} |`, 'y'.repeat(101)], true), [2]);
  assert.deepEqual(wideLines([`| ${wide} |`], false), [1]);
  const body = Array.from({ length: 70 }, () => '  work();');
  const source = ['function long(): void {', ...body, '}', 'class Wide {', ...body, '}'];
  assert.deepEqual(functionsOf(source), [{ first: 'function long(): void {', lines: 72 }]);
});
