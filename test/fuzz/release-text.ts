/** Changes of the text of a Release, which is rightly signed afterwards. */
import type { Change, Dice } from './dice.ts';

const NAME = /^([!-9;-~]+):/;
const ENTRY = / ([0-9a-f]{64}) (\d+) (\S+)/;

const DATES = [
  'Thu, 01 Jan 2026 00:00:00 UTC',
  'Thu, 1 Jan 2026 0:00:00 GMT',
  'Thu Jan  1 00:00:00 2026',
  'Thursday, 01-Jan-26 00:00:00 GMT',
  '01 Jan 2026 00:00:00 UTC',
  'Xyz, 01 Jan 2026 00:00:00 UTC',
  'thu, 01 Jan 2026 00:00:00 UTC',
  'Thu, 01 Jan 2026 00:00:00 +0000',
  'Thu, 01 Jan 2026 00:00:00 -0000',
  'Thu, 01 Jan 2026 00:00:00 CET',
  'Thu, 01 Jan 2026 00:00:00 Z',
  'Thu, 01 Jan 2026 00:00:00',
  'Thu, 32 Jan 2026 00:00:00 UTC',
  'Thu, 01 Foo 2026 00:00:00 UTC',
  'Thu, 01 Jan 2026 24:00:00 UTC',
  'Thu, 01 Jan 2026 00:00:60 UTC',
  'Thu, 01 Jan 2099 00:00:00 UTC',
  'Thu, 01 Jan 2026 00:00:00 UTC x',
  '2026-01-01T00:00:00Z',
  '',
];
const FLAGS = ['yes', 'no', 'force', '', '0', '1', '2', '0x1', '+1', '\n yes'];

/** The line that the dice name, or the first one that is like this. */
const editLine = (
  name: string,
  which: RegExp | null,
  edit: (line: string, dice: Dice) => string,
): Change => ({
  name,
  apply: (text, dice) => {
    const lines = text.split('\n');
    const fitting = [...lines.keys()].filter((at) => which === null || which.test(lines[at]!));
    if (fitting.length === 0) return text;
    const place = dice.pick(fitting);
    lines[place] = edit(lines[place]!, dice);
    return lines.join('\n');
  },
});
/** Parts of the line of an index. */
const editEntry = (name: string, edit: (parts: string[], dice: Dice) => void): Change =>
  editLine(name, ENTRY, (line, dice) => {
    const parts = line.trim().split(' ');
    edit(parts, dice);
    return ` ${parts.join(' ')}`;
  });
const table = (of: string, ...lines: readonly string[]): string =>
  `${[`${of}:`, ...lines].join('\n')}\n`;
const listed = (text: string): string => ENTRY.exec(text)?.[0] ?? '';

/** The digest of a table that the archive has wrong has this many digits. */
const OTHER_TABLES = [
  ['MD5Sum', 32],
  ['SHA1', 40],
  ['SHA512', 128],
] as const;

export const RELEASE_TEXT: readonly Change[] = [
  editLine('a blank before a colon', NAME, (line, dice) =>
    line.replace(NAME, `$1${dice.pick([' ', '\t', '\v', '\r', '\0', '\xa0'])}:`),
  ),
  editLine('a name in another case', NAME, (line, dice) =>
    line.replace(NAME, (name) => (dice.chance(0.5) ? name.toUpperCase() : name.toLowerCase())),
  ),
  editLine('a folded value', NAME, (line, dice) =>
    line.replace(/: ?/, dice.pick([':\n ', ':\n\t', ':\n \n ', ':  '])),
  ),
  editLine('a field twice', NAME, (line, dice) => `${line}\n${dice.pick([line, `${line}x`])}`),
  editLine('no value', NAME, (line) => line.replace(/:.*/, ':')),
  editLine('a Date', /^Date/, (_, dice) => `Date: ${dice.pick(DATES)}`),
  editLine('a Valid-Until', /^Date/, (line, dice) =>
    [line, `Valid-Until: ${dice.pick(DATES).replace('26 ', '99 ')}`].join('\n'),
  ),
  editLine('Acquire-By-Hash', /^Date/, (line, dice) =>
    [line, `Acquire-By-Hash: ${dice.pick(FLAGS)}`].join('\n'),
  ),
  editLine('another field', null, (line, dice) =>
    [line, dice.pick(['X-Y: z', '-X: y', '#X: y', 'X', ':x', 'Ü: y', 'X: ü', ' x'])].join('\n'),
  ),
  editEntry('capitals in a digest', (parts) => {
    parts[0] = parts[0]!.toUpperCase();
  }),
  editEntry('another digest', (parts, dice) => {
    parts[0] = dice.pick(['0'.repeat(64), parts[0]!.slice(1), `${parts[0]!}0`, 'z']);
  }),
  editEntry('another size', (parts, dice) => {
    parts[1] = dice.pick(['0', '-1', `+${parts[1]!}`, `0${parts[1]!}`, `${parts[1]!}x`, '0x9a']);
  }),
  editEntry('another path', (parts, dice) => {
    const path = parts[2]!;
    parts[2] = dice.pick([`./${path}`, `/${path}`, `../${path}`, path.replace('/', '//'), 'x']);
  }),
  editEntry('a fourth column', (parts, dice) => {
    parts.push(dice.pick(['x', parts[0]!, '#']));
  }),
  editLine('other blanks between columns', ENTRY, (line, dice) =>
    line.replaceAll(' ', dice.pick(['  ', '\t', ' \t', '\v', '\xa0'])),
  ),
  editLine('an entry twice', ENTRY, (line, dice) =>
    [line, dice.pick([line, line.replace(/\d+ /, '1 '), line.replace(' main', ' ./main')])].join(
      '\n',
    ),
  ),
  editLine('an entry of another file', ENTRY, (line) =>
    [line, line.replace('amd64', 'arm64')].join('\n'),
  ),
  {
    name: 'another table',
    apply: (text, dice) => {
      const [name, digits] = dice.pick(OTHER_TABLES);
      const entry = listed(text).replace(/[0-9a-f]{64}/, 'a'.repeat(digits));
      return dice.chance(0.5) ? text + table(name, entry) : table(name, entry) + text;
    },
  },
  { name: 'an empty table', apply: (text) => `${text}${table('MD5Sum')}` },
  { name: 'the table again', apply: (text) => `${text}${table('SHA256', listed(text))}` },
  { name: 'an empty line first', apply: (text, dice) => '\n'.repeat(dice.few(3)) + text },
  { name: 'empty lines last', apply: (text, dice) => text + '\n'.repeat(dice.few(3)) },
  { name: 'another stanza', apply: (text) => `${text}\nSuite: other\n` },
  { name: 'no line end', apply: (text) => text.trimEnd() },
];
