/** Packages as archives write them, and as no archive should. */
import { sha256Of } from '../../src/domain/sha256.ts';
import { BYTES, type Change, type Dice, LINES } from './dice.ts';

export interface IndexCase {
  readonly kind: 'index';
  readonly index: Uint8Array;
  readonly changes: readonly string[];
}

const NAME = /^([!-9;-~]+):/;
const ODD_NAMES = [' :', '\t:', '\v:', '\r:', '\0:', '\n:', '\xa0:', 's:', '-:', '::'];
const VALUES: Readonly<Record<string, readonly string[]>> = {
  Filename: [
    './good.deb',
    'a/./b.deb',
    'a//b.deb',
    '/good.deb',
    '../good.deb',
    'a/../b.deb',
    'a%2fb.deb',
    'a+b~c%3ad.deb',
    'a b.deb',
    '\xc3\xbc.deb',
    'a?b.deb',
    'a#b.deb',
    'a\\b.deb',
    'a.deb.',
    'a/',
    '.',
    'dists/stable/Release',
    'by-hash/SHA256/x',
    'http://127.0.0.1:9/evil.deb',
    '',
  ],
  Size: ['0', '01', '+1', '-1', '1x', '0x1', '1.0', '1 1', '18446744073709551617', '1\0', ''],
  SHA256: ['0'.repeat(64), 'A'.repeat(64), 'a'.repeat(63), 'g'.repeat(64), ''],
  Package: ['Q', 'q q', 'q/q', '', '.', 'q\0', '\xfc'],
  Architecture: ['all', 'arm64', 'any', ''],
  Version: ['1.0 ', '1:1', '', '1 0', 'x'],
};
const FIELDS = Object.keys(VALUES);

const stanza = (name: string, file: string): string =>
  [
    `Package: ${name}`,
    'Version: 1.0',
    'Architecture: amd64',
    `Filename: pool/${file}.deb`,
    'Size: 1',
    `SHA256: ${sha256Of(Buffer.from(file))}`,
    'Description: one line',
    ' and more',
    ' .',
    '',
  ].join('\n');

const editField = (name: string, edit: (field: string, line: string, dice: Dice) => string) => ({
  name,
  apply: (text: string, dice: Dice): string => {
    const lines = text.split('\n');
    const places = [...lines.keys()].filter((at) => NAME.test(lines[at]!));
    if (places.length === 0) return text;
    const place = dice.pick(places);
    lines[place] = edit(NAME.exec(lines[place]!)![1]!, lines[place]!, dice);
    return lines.join('\n');
  },
});
const evil = (dice: Dice): string => {
  const field = dice.pick(FIELDS);
  return `${field}: ${dice.pick([...VALUES[field]!, 'evil'])}`;
};

const FIELD_CHANGES: readonly Change[] = [
  editField('another value', (field, line, dice) =>
    VALUES[field] === undefined ? line : `${field}: ${dice.pick(VALUES[field])}`,
  ),
  editField('an odd name', (_, line, dice) => line.replace(':', dice.pick(ODD_NAMES))),
  editField('a field again, oddly', (_, line, dice) =>
    [line, line.replace(':', dice.pick(ODD_NAMES)).replace(/.$/, 'x')].join('\n'),
  ),
  editField('a field twice', (_, line, dice) => [line, dice.pick([line, evil(dice)])].join('\n')),
  editField('an evil field behind', (_, line, dice) =>
    [line, dice.pick(['', ' ', '\t', '\r', '\v', '\f', '\0', '-', '#']) + evil(dice)].join('\n'),
  ),
  editField('a name in another case', (_, line, dice) =>
    line.replace(NAME, (name) => (dice.chance(0.5) ? name.toUpperCase() : name.toLowerCase())),
  ),
  editField('a folded value', (_, line, dice) =>
    line.replace(': ', dice.pick([':\n ', ':\n\t', ':\n \n ', ':\r\n ', ':', ':\t', ':\v'])),
  ),
  editField('a continuation', (_, line, dice) =>
    [line, dice.pick([' ', '\t', ' \t', ' x', ' .', ' : x', ` ${evil(dice)}`])].join('\n'),
  ),
  editField(
    'odd bytes behind a value',
    (_, line, dice) => `${line}${dice.pick(['\r', '\r\r', ' ', '\v', '\f', '\0', '\xa0', '\x85'])}`,
  ),
];
const STANZA_CHANGES: readonly Change[] = [
  { name: 'another separator', apply: (text, dice) => text.replace('\n\n', dice.pick(SEPARATORS)) },
  { name: 'an empty line first', apply: (text, dice) => '\n'.repeat(dice.few(3)) + text },
  { name: 'empty lines last', apply: (text, dice) => text + '\n'.repeat(dice.few(4)) },
  { name: 'no line end', apply: (text) => text.trimEnd() },
  {
    name: 'something first',
    apply: (text, dice) => dice.pick([' ', '\xef\xbb\xbf', '#', 'x']) + text,
  },
];
const SEPARATORS = [
  '\n',
  '\n\n\n',
  '\n\n\n\n',
  '\n \n',
  '\r\n\r\n',
  '\n\r\r\n',
  '\n\t\n',
  '\n\0\n',
];

/** @param index makes the names of its packages its own: apt would take two of one name for one */
export function makeIndex(dice: Dice, index: number): IndexCase {
  const stanzas = Array.from({ length: dice.few(3) }, (_, at) => `f${index}x${at}`);
  let text = stanzas.map((name) => stanza(name, name)).join('\n');
  const changes: string[] = [];
  for (let left = dice.few(3); left > 0; left -= 1) {
    const all = dice.pick([FIELD_CHANGES, FIELD_CHANGES, STANZA_CHANGES, LINES, BYTES]);
    const change = dice.pick(all);
    text = change.apply(text, dice);
    changes.push(change.name);
  }
  return { kind: 'index', index: Buffer.from(text, 'latin1'), changes };
}
