import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { DebgeoError, printableReport, type ErrorReport } from '../../src/domain/errors.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import {
  printable,
  printableJson,
  printableLines,
  printableValue,
  quoted,
} from '../../src/domain/text.ts';
import {
  assertPrintable,
  HOSTILE_STRINGS,
  isPrintable,
  NO_STRINGS,
} from '../support/hostile-strings.ts';

const ALL = Object.entries(HOSTILE_STRINGS);

describe('printable', () => {
  it('leaves text as it is, in any script', () => {
    for (const text of ['', 'hello, world', 'grüße, 世界, здравствуй, שלום', 'a \u{1F600} b'])
      assert.equal(printable(text), text);
  });

  it('makes one bounded line of anything, and changes that no more', () => {
    for (const [name, text] of ALL)
      for (const [make, max] of [
        [printable, LIMITS.errorCharacters],
        [quoted, 200],
      ] as const) {
        const made = make(text);
        assert.ok(isPrintable(made), name);
        assert.ok(made.length <= max + 1, name);
        assert.equal(make(made), made, name);
      }
  });

  it('cuts between characters, and says so', () => {
    assert.equal(printable('ab\u{1F600}', 4), 'ab\u{1F600}');
    assert.equal(printable('ab\u{1F600}c', 3), 'ab…');
    assert.equal(printable('a\u0000b', 5), 'a…');
  });

  it('writes what it hides as JSON does', () => {
    assert.equal(printable('\u001b]52;\u0007\u009b'), '\\u001b]52;\\u0007\\u009b');
    assert.equal(printable('a\nb\tc\r'), 'a\\nb\\tc\\r');
    for (const [name, text] of ALL.filter(([, { length }]) => length < 500))
      assert.deepEqual(JSON.parse(printableJson({ [text]: text })), { [text]: text }, name);
  });

  it('takes anything for a text', () => {
    for (const value of [
      ...NO_STRINGS,
      undefined,
      Symbol('x'),
      Object.create(null),
      new Error('e'),
    ])
      assert.ok(isPrintable(printable(value)));
    assert.equal(printable(new Error('e')), 'e');
  });
});

describe('printableLines', () => {
  it('keeps line feeds, and nothing else that printable escapes', () => {
    assert.equal(printableLines('a\nb\r\n\u2028'), 'a\nb\\r\n\\u2028');
    for (const [name, text] of ALL) {
      const made = printableLines(text);
      assert.ok(isPrintable(made, '\n'), name);
      assert.ok(made.length <= LIMITS.errorCharacters + 1, name);
    }
  });
});

describe('printableValue', () => {
  it('reaches every text and key, and pollutes nothing', () => {
    const value = { list: ALL, ...Object.fromEntries(ALL), at: new Date(0), big: 1n };
    assertPrintable(printableValue(value), 'value');
    const made = printableValue(JSON.parse('{"__proto__": {"polluted": true}}')) as object;
    assert.deepEqual([Object.keys(made), 'polluted' in made], [['__proto__'], false]);
  });

  it('ends for a value that holds itself', () => {
    const value: Record<string, unknown> = {};
    value['self'] = value;
    assert.ok(JSON.stringify(printableValue(value)).length < 200);
  });
});

describe('DebgeoError', () => {
  for (const [name, text] of ALL)
    it(`quotes ${name} in one line`, () => {
      const error = new DebgeoError('UNKNOWN', text, { expected: text, found: text, state: text });
      for (const fact of [error.message, ...Object.values(error.report)])
        assert.ok(isPrintable(String(fact)) && String(fact).length <= 1_001, name);
      assert.deepEqual(DebgeoError.of(error.report).report, error.report);
      assert.deepEqual(printableReport(error.report), error.report);
    });

  it('has several lines where debgeo lists faults, and not more than a person reads', () => {
    const found = ['one\nis one', ...Array.from({ length: 500 }, (_, index) => `fault ${index}`)];
    const lines = new DebgeoError('CONFIG_INVALID', 'm', { found }).report.found!.split('\n');
    assert.deepEqual(
      [lines[0], lines.length, lines.at(-1)],
      ['one\\nis one', 101, '… and 401 more'],
    );
  });

  it('is read from what another version sent', () => {
    for (const value of [...Object.values(HOSTILE_STRINGS), ...NO_STRINGS]) {
      const sent = { code: 'UNKNOWN', message: value, found: value, retryAfterMs: value };
      assertPrintable(printableReport(sent as unknown as ErrorReport), String(typeof value));
    }
  });
});

/** A cut by units leaves half of a character some day: `.slice(0, LIMITS.…)`, `.slice(99)`. */
const CUT =
  /\b(?:slice|substring|substr)\([^)]*(?:LIMITS\.(?:quoted|error)Characters|\b\d{2,})[^)]*\)/g;
const cutsIn = (source: string): string[] => source.match(CUT) ?? [];

describe('text that is quoted', () => {
  it('is cut in src/domain/text.ts alone', () => {
    const root = join(import.meta.dirname, '../..');
    const found = globSync('{src,activities,workflows}/**/*.ts', { cwd: root })
      .filter((path) => !/^src\/(?:stack|made-archive)\//.test(path))
      .flatMap((path) => cutsIn(readFileSync(join(root, path), 'utf8')).map((cut) => [path, cut]));
    assert.deepEqual(found, []);
  });

  it('would be seen where it is cut', () => {
    const planted = 'found: found.slice(0, LIMITS.quotedCharacters), x.slice(\n  0,\n  100,\n)';
    assert.equal(cutsIn(planted).length, 2);
  });
});
