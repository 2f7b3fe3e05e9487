/**
 * Debian control data (Debian Policy §5.1, deb822(5)), read as apt's pkgTagFile reads it
 * (apt-pkg/tagfile.cc), or refused:
 * - stanzas are separated by empty lines (LF or CRLF); a line of blanks alone continues a field, as
 *   any line that begins with a blank;
 * - field names are case-insensitive; here they are keys in lower case;
 * - the lines of a value lose the blanks around them (blanks of ASCII only) and are joined with LF.
 *
 * Stricter than apt where readers differ from each other:
 * - a field name is as Policy §5.1 defines it, except that it may begin with `-`. apt takes blanks
 *   off its end (`Filename : x`) and CRs off its front, reads on in the next line for a colon, and
 *   takes a line that begins with VT or FF as a continuation;
 * - a field stands once in a stanza (Policy §5.1), where apt takes the last one, dpkg none;
 * - the first line is not empty: apt would take what is before the second empty line, nothing, for
 *   the first stanza, and then refuse all of its lists;
 * - a stanza has at most so many bytes as apt's buffer.
 */
import { DebgeoError } from './errors.ts';
import { LIMITS } from './limits.ts';
import { quoted } from './text.ts';

const LF = 10;
const CR = 13;
const TAB = 9;
const SPACE = 32;
const COLON = 58;
const HASH = 35;
const DEL = 127;
const UPPER_A = 65;
const UPPER_Z = 90;
const UPPER_TO_LOWER = 32;

export type Stanza = Map<string, string>;

export interface Deb822Limits {
  /** bytes */
  readonly lineBytes: number;
  /** bytes of one stanza, all of its fields */
  readonly stanzaBytes: number;
}

const DEFAULT_LIMITS: Deb822Limits = {
  lineBytes: LIMITS.deb822LineBytes,
  stanzaBytes: LIMITS.deb822StanzaBytes,
};

/**
 * Splits a stream of bytes into stanzas and decodes only the wanted fields: memory stays flat,
 * whatever the size of the index. Chunks may end anywhere, and may be reused by the caller
 * afterwards. Bytes that are not UTF-8 become U+FFFD.
 */
export class Deb822Parser {
  /** In lower case. */
  readonly #wanted: readonly string[] | 'all';
  readonly #onStanza: (fields: Stanza) => void;
  readonly #limits: Deb822Limits;
  #pieces: Buffer[] = [];
  #pieceBytes = 0;
  #line = 0;
  #stanza: Stanza = new Map();
  #stanzaBytes = 0;
  /** A field was read since the last empty line. */
  #inStanza = false;
  /** The field that a continuation line belongs to, null if it is not wanted. */
  #field: string | null = null;

  /**
   * @param fields names of the wanted fields, in any case; 'all' for every one
   * @param onStanza called for every stanza, also for one without any wanted field; the map is not
   *   used again
   */
  constructor(
    fields: readonly string[] | 'all',
    onStanza: (fields: Stanza) => void,
    limits: Deb822Limits = DEFAULT_LIMITS,
  ) {
    this.#wanted = fields === 'all' ? fields : fields.map((name) => name.toLowerCase());
    this.#onStanza = onStanza;
    this.#limits = limits;
  }

  /**
   * @throws INDEX_MALFORMED a line that is neither field nor continuation, an empty first line, or
   *   a wanted field that stands twice
   * @throws LIMIT_EXCEEDED a line or a stanza beyond its limit
   */
  push(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let start = 0;
    for (let end = bytes.indexOf(LF); end !== -1; end = bytes.indexOf(LF, start)) {
      if (this.#pieceBytes === 0) this.#readLine(bytes, start, end);
      else this.#readPieces(bytes.subarray(start, end));
      start = end + 1;
    }
    if (start < bytes.length) this.#keep(Buffer.from(bytes.subarray(start)));
  }

  /** The end of the stream ends the last line and the last stanza. */
  end(): void {
    if (this.#pieceBytes > 0) this.#readPieces(Buffer.alloc(0));
    this.#endStanza();
  }

  #keep(piece: Buffer): void {
    this.#pieces.push(piece);
    this.#pieceBytes += piece.length;
    this.#checkLine(this.#pieceBytes);
  }

  #readPieces(last: Buffer): void {
    const line = Buffer.concat([...this.#pieces, last]);
    this.#pieces = [];
    this.#pieceBytes = 0;
    this.#readLine(line, 0, line.length);
  }

  #readLine(bytes: Buffer, from: number, to: number): void {
    this.#line += 1;
    this.#checkLine(to - from);
    const end = to > from && bytes[to - 1] === CR ? to - 1 : to;
    if (end === from) {
      if (this.#line === 1) throw this.#malformed('a field in the first line', bytes, from, end);
      return this.#endStanza();
    }

    this.#count(to - from + 1);
    const first = bytes[from];
    if (first === SPACE || first === TAB) {
      if (!this.#inStanza)
        throw this.#malformed('a field before its continuation', bytes, from, end);
      if (this.#field !== null) this.#continueField(this.#field, bytes, from + 1, end);
      return;
    }

    const colon = endOfName(bytes, from, end);
    if (colon === from || bytes[colon] !== COLON || first === HASH)
      throw this.#malformed('`Name: value`', bytes, from, end);
    this.#inStanza = true;
    const name = this.#nameOf(bytes, from, colon);
    this.#field = name;
    if (name === null) return;
    if (this.#stanza.has(name))
      throw this.#malformed('each field once in a stanza', bytes, from, end);
    this.#stanza.set(name, decode(bytes, colon + 1, end));
  }

  /**
   * In lower case, null if it is not wanted. No string is made of a name: an index has a million of
   * them.
   */
  #nameOf(bytes: Buffer, from: number, colon: number): string | null {
    if (this.#wanted === 'all') return bytes.toString('latin1', from, colon).toLowerCase();
    for (const name of this.#wanted)
      if (name.length === colon - from && isName(bytes, from, name)) return name;
    return null;
  }

  #continueField(name: string, bytes: Buffer, from: number, end: number): void {
    this.#stanza.set(name, `${this.#stanza.get(name) ?? ''}\n${decode(bytes, from, end)}`);
  }

  #endStanza(): void {
    if (!this.#inStanza) return;
    const stanza = this.#stanza;
    this.#stanza = new Map();
    this.#stanzaBytes = 0;
    this.#inStanza = false;
    this.#field = null;
    this.#onStanza(stanza);
  }

  #checkLine(bytes: number): void {
    if (bytes > this.#limits.lineBytes)
      throw exceeded(`line ${this.#line} of control data`, this.#limits.lineBytes);
  }

  #count(bytes: number): void {
    this.#stanzaBytes += bytes;
    if (this.#stanzaBytes > this.#limits.stanzaBytes)
      throw exceeded(`the stanza at line ${this.#line}`, this.#limits.stanzaBytes);
  }

  #malformed(expected: string, bytes: Buffer, from: number, end: number): DebgeoError {
    // a character of UTF-8 has at most 4 bytes
    const found = quoted(
      bytes.toString('utf8', from, Math.min(end, from + 4 * LIMITS.quotedCharacters)),
    );
    return new DebgeoError(
      'INDEX_MALFORMED',
      `line ${this.#line} is not control data as Debian defines it`,
      { expected, found },
    );
  }
}

/**
 * Reads text that is exactly one stanza, as Release is, for which apt's buffer is as large as the
 * file; empty lines behind it are accepted.
 * @throws INDEX_MALFORMED  also for no stanza or a second one
 * @throws LIMIT_EXCEEDED
 */
export function parseStanza(text: string): Stanza {
  const stanzas: Stanza[] = [];
  const limits = { lineBytes: LIMITS.releaseBytes, stanzaBytes: LIMITS.releaseBytes };
  const parser = new Deb822Parser(
    'all',
    (stanza) => {
      if (stanzas.push(stanza) > 1)
        throw new DebgeoError('INDEX_MALFORMED', 'more than one stanza', {
          expected: 'one stanza',
          found: 'a second one',
        });
    },
    limits,
  );
  parser.push(Buffer.from(text));
  parser.end();

  const [stanza] = stanzas;
  if (stanza === undefined)
    throw new DebgeoError('INDEX_MALFORMED', 'no stanza at all', {
      expected: 'one stanza',
      found: 'none',
    });
  return stanza;
}

/** Policy §5.1: printable ASCII without blanks and colons. `end` may be a CR, which is no name. */
function endOfName(bytes: Buffer, from: number, end: number): number {
  let at = from;
  while (at < end) {
    const byte = bytes[at]!;
    if (byte <= SPACE || byte >= DEL || byte === COLON) break;
    at += 1;
  }
  return at;
}

function isName(bytes: Buffer, from: number, lowerCase: string): boolean {
  for (let at = 0; at < lowerCase.length; at += 1) {
    const byte = bytes[from + at]!;
    if (
      (byte >= UPPER_A && byte <= UPPER_Z ? byte + UPPER_TO_LOWER : byte) !==
      lowerCase.charCodeAt(at)
    )
      return false;
  }
  return true;
}

function decode(bytes: Buffer, from: number, to: number): string {
  let start = from;
  let end = to;
  while (start < end && isBlank(bytes[start])) start += 1;
  while (end > start && isBlank(bytes[end - 1])) end -= 1;
  return bytes.toString('utf8', start, end);
}

function isBlank(byte: number | undefined): boolean {
  return byte === SPACE || byte === TAB || byte === CR;
}

function exceeded(what: string, limit: number): DebgeoError {
  return new DebgeoError('LIMIT_EXCEEDED', `${what} is too long`, {
    expected: `at most ${limit} bytes`,
    found: 'more',
  });
}
