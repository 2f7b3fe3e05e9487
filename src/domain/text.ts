/**
 * Text of an archive, a site, a client or a library, made fit to be shown, stored and sent.
 *
 * What is not printable is written as JSON escapes it, `\u001b`: half of a surrogate pair and NUL,
 * which PostgreSQL and protobuf refuse; controls (C0, DEL, C1) and line separators, which a
 * terminal obeys and which forge lines; bidi and other invisible format characters, which make a
 * text read as another (Unicode TR36 and TR39; "Trojan Source", 2021). So within JSON the text
 * keeps its meaning. What is too long is cut between two characters and ends in `…`. All functions
 * are idempotent.
 *
 * Import-safe for workflows: no builtin, no I/O.
 */
import { LIMITS } from './limits.ts';

/**
 * Control, format, lone surrogate, line and paragraph separator; and what is invisible by default
 * without being any of these (Hangul fillers, variation selectors).
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;
const SHORT_ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/**
 * One line.
 * @param max characters (UTF-16), without the `…`
 */
export const printable = (value: unknown, max: number = LIMITS.errorCharacters): string =>
  escapeAndCut(textOf(value), max, '');

/** What a message quotes of another program's text. */
export const quoted = (value: unknown): string => printable(value, LIMITS.quotedCharacters);

/**
 * Keeps line feeds: for a text whose lines debgeo joined itself, each of them printable.
 * @param max characters of all lines
 */
export const printableLines = (value: unknown, max: number = LIMITS.errorCharacters): string =>
  escapeAndCut(textOf(value), max, '\n');

/** JSON as it is, but with escapes for what is not printable. */
export const printableJson = (value: unknown, space?: number): string =>
  escapeAndCut(JSON.stringify(value ?? null, null, space), Infinity, '\n');

/**
 * The same value of JSON with all of its texts, keys too, printable. What is nested deeper than
 * `depth` becomes a text. Errors and other objects of a class stay as they are.
 */
export function printableValue(value: unknown, depth = 6): unknown {
  if (typeof value === 'string') return printable(value);
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (!Array.isArray(value) && !isPlain(value)) return value;
  if (depth === 0) return '…';
  if (Array.isArray(value)) return value.map((one) => printableValue(one, depth - 1));
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [printable(key), printableValue(one, depth - 1)]),
  );
}

function escapeAndCut(text: string, max: number, kept: '' | '\n'): string {
  if (text.length <= max && !UNPRINTABLE.test(text)) return text;
  let result = '';
  for (const character of text) {
    const isKept = character === kept || !UNPRINTABLE.test(character);
    const piece = isKept ? character : escaped(character);
    if (result.length + piece.length > max) return `${result}…`;
    result += piece;
  }
  return result;
}

/** As JSON does it: a character beyond the first plane as its two surrogates. */
const escaped = (character: string): string =>
  SHORT_ESCAPES[character] ??
  Array.from(
    { length: character.length },
    (_, unit) => `\\u${character.charCodeAt(unit).toString(16).padStart(4, '0')}`,
  ).join('');

/** What came over the wire need not be a text, and String() of an object runs what is in it. */
function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value instanceof Error) return textOf(value.message);
  try {
    return String(value);
  } catch {
    return `a value of type ${typeof value}`;
  }
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}
