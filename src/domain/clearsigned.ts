/**
 * The clear-signed InRelease and the detached Release.gpg, split as apt splits them
 * (SplitClearSignedFile and ExecGPGV in apt-pkg/contrib/gpgv.cc; RFC 4880 §7 and RFC 9580 §7, which
 * allow more), so that nothing outside of a signature is ever parsed:
 * - the first line is exactly `-----BEGIN PGP SIGNED MESSAGE-----`: no byte stands before it;
 * - armor headers up to an empty line; none begins with `-`. They are not signed, so they are
 *   dropped;
 * - text lines; `- ` in front is the dash escape and removed; any other line that begins with `-`
 *   is refused;
 * - one or more signature blocks, whose lines never begin with `-`, up to the end: no line between,
 *   none after, an empty one neither. Line ends are LF or CRLF; the blanks at the end of a line are
 *   not signed (RFC 4880 §7.1) and are dropped.
 *
 * Stricter than apt, where OpenPGP implementations differ from each other: NUL, a CR inside a line,
 * and text that is not UTF-8 are refused, and so is an armor that only some of them read.
 */
import { DebgeoError } from './errors.ts';
import { LIMITS } from './limits.ts';
import { quoted } from './text.ts';

const BEGIN_MESSAGE = '-----BEGIN PGP SIGNED MESSAGE-----';
const BEGIN_SIGNATURE = '-----BEGIN PGP SIGNATURE-----';
const END_SIGNATURE = '-----END PGP SIGNATURE-----';
const ARMOR_HEADER = /^[^:]+:(?: |$)/;
const [TAB, LF, CR, SPACE] = [0x09, 0x0a, 0x0d, 0x20];
const CHECKSUM = /^=[A-Za-z0-9+/]{4}$/;
const NOT_BASE64 = /[^A-Za-z0-9+/]/;

export interface Clearsigned {
  /**
   * The signed text, each line ended by one LF, the last one too. For what Debian, aptly and
   * reprepro release it equals Release byte for byte: signing in clear takes the last LF of Release
   * as the end of the text, so it is not signed and is put back here.
   */
  readonly body: Uint8Array;
  /**
   * The bytes of each signature block. One may hold several signature packets (Debian: three).
   */
  readonly signatures: readonly Uint8Array[];
}

/**
 * What a signature is to be checked over is `body` without its last LF, as text (signature type
 * 0x01).
 * @throws SIGNATURE_MALFORMED
 * @throws LIMIT_EXCEEDED more lines than LIMITS.releaseLines
 */
export function splitClearsigned(bytes: Uint8Array): Clearsigned {
  const lines = linesOf(bytes);
  if (lines[0] !== BEGIN_MESSAGE) throw malformed(BEGIN_MESSAGE, lines[0] ?? 'an empty file');
  const headersEnd = lines.indexOf('', 1);
  if (headersEnd === -1) throw malformed('an empty line after the armor headers', 'none');
  const dashed = lines.slice(1, headersEnd).find((line) => line.startsWith('-'));
  if (dashed !== undefined) throw malformed('an armor header', dashed);
  const textEnd = lines.indexOf(BEGIN_SIGNATURE, headersEnd + 1);
  if (textEnd === -1) throw malformed(BEGIN_SIGNATURE, 'none');
  const text = lines.slice(headersEnd + 1, textEnd);
  if (text.length === 0) throw malformed('signed text', 'none');

  return {
    body: Buffer.from(`${text.map(unescapeDash).join('\n')}\n`),
    signatures: signatureBlocks(lines.slice(textEnd)),
  };
}

/**
 * The bytes of the armored blocks of a detached signature (Release.gpg): nothing but such blocks;
 * binary signatures are refused, as apt refuses them.
 *
 * apt gives this file to GnuPG as it is, where it takes the blanks at line ends off the signatures
 * of InRelease. GnuPG cuts a long line, blanks included, and wants a space behind the colon of a
 * header, and no tab.
 * @throws SIGNATURE_MALFORMED
 * @throws LIMIT_EXCEEDED more lines than LIMITS.releaseLines
 */
export function splitSignatures(bytes: Uint8Array): readonly Uint8Array[] {
  if (bytes.includes(TAB)) throw malformed('a signature without tabs', 'a tab');
  if (hasLongLine(bytes)) throw malformed(`lines of ${LIMITS.signedLineBytes} bytes`, 'more');
  return signatureBlocks(linesOf(bytes));
}

/** Whether GnuPG would cut a line of it, LIMITS.signedLineBytes. */
export function hasLongLine(bytes: Uint8Array): boolean {
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(LF, start);
    const length = (end === -1 ? bytes.length : end) - start;
    if (length > LIMITS.signedLineBytes) return true;
    start += length + 1;
  }
  return false;
}

/**
 * Whether two texts are the same as far as a signature tells: trailing blanks, the form of line
 * ends and empty lines at the end are outside of it (RFC 9580, 7.2). In one pass and without lines:
 * neither text is authenticated yet, and a regular expression that tries ten megabytes of blanks
 * from each of them on takes hours.
 */
export const isSameText = (one: Uint8Array, other: Uint8Array): boolean =>
  withoutEnds(one).equals(withoutEnds(other));

function withoutEnds(bytes: Uint8Array): Buffer {
  const text = Buffer.alloc(bytes.length);
  let length = 0;
  let end = 0; // of the line, without its blanks
  let last = 0; // end of the last line that is not empty
  for (const byte of bytes) {
    if (byte === LF) length = end;
    text[length] = byte;
    length += 1;
    if (byte === SPACE || byte === TAB || byte === CR) continue;
    end = length;
    if (byte !== LF) last = length;
  }
  return text.subarray(0, last);
}

function signatureBlocks(lines: readonly string[]): readonly Uint8Array[] {
  const blocks: Uint8Array[] = [];
  let armor: string[] | null = null;
  let hasEnd = true; // of the base64 of the block before
  for (const line of lines) {
    if (armor === null) {
      if (line !== BEGIN_SIGNATURE)
        throw malformed(`${BEGIN_SIGNATURE} or the end of the file`, line);
      armor = [];
    } else if (line === END_SIGNATURE) {
      // GnuPG knows the end of base64 by its padding or by the checksum, else it reads on
      if (!hasEnd) throw malformed('a checksum of every block', 'none');
      hasEnd = armor.at(-1)?.includes('=') ?? false;
      blocks.push(readArmor(armor));
      armor = null;
    } else {
      if (line.startsWith('-')) throw malformed(END_SIGNATURE, line);
      armor.push(line);
    }
  }
  if (armor !== null) throw malformed(END_SIGNATURE, 'the end of the file');
  if (blocks.length === 0) throw malformed(BEGIN_SIGNATURE, 'an empty file');
  return blocks;
}

/**
 * What lies between BEGIN and END (RFC 4880, 6.2), in one form of those that GnuPG reads: headers
 * with a colon, an empty line, lines of base64, and perhaps a checksum (6.1; RFC 9580 wants it
 * ignored), which is right and last. GnuPG passes over some of what is refused here (blanks, other
 * characters, a second checksum), but not over all of it, and OpenPGP.js over more.
 */
function readArmor(lines: readonly string[]): Uint8Array {
  const headersEnd = lines.indexOf('');
  if (headersEnd === -1) throw malformed('an empty line after the armor headers', 'none');
  const header = lines.slice(0, headersEnd).find((line) => !ARMOR_HEADER.test(line));
  if (header !== undefined) throw malformed('an armor header', header);

  const rest = lines.slice(headersEnd + 1);
  const checksumAt = rest.findIndex((line) => line.startsWith('='));
  if (checksumAt === -1) return decodeBase64(rest);
  const bytes = decodeBase64(rest.slice(0, checksumAt));
  assertChecksum(bytes, rest.slice(checksumAt));
  return bytes;
}

/** Whole groups of four characters; only the last one is padded. */
function decodeBase64(lines: readonly string[]): Uint8Array {
  const text = lines.join('');
  const padding = /={0,2}$/.exec(text)![0].length;
  for (const [index, line] of lines.entries()) {
    const characters = index === lines.length - 1 ? line.slice(0, line.length - padding) : line;
    if (characters === '' || NOT_BASE64.test(characters)) throw malformed('base64', line);
    if (line.length > LIMITS.signedLineBytes)
      throw malformed(`lines of ${LIMITS.signedLineBytes} bytes`, line);
  }
  if (text === '' || text.length % 4 !== 0)
    throw malformed('base64 in groups of four', `${text.length} characters`);
  return Buffer.from(text, 'base64');
}

function assertChecksum(bytes: Uint8Array, [line, ...behind]: readonly string[]): void {
  if (line === undefined || !CHECKSUM.test(line)) throw malformed('a checksum', line ?? 'none');
  if (behind[0] !== undefined) throw malformed(END_SIGNATURE, behind[0]);
  const expected = crc24(bytes);
  const found = Buffer.from(line.slice(1), 'base64').readUIntBE(0, 3);
  if (found !== expected) throw malformed(`checksum ${expected.toString(16)}`, found.toString(16));
}

/** RFC 4880, 6.1. */
function crc24(bytes: Uint8Array): number {
  let crc = 0xb704ce;
  for (const byte of bytes) {
    crc ^= byte << 16;
    for (let bit = 0; bit < 8; bit += 1)
      crc = (crc & 0x800000) === 0 ? crc << 1 : (crc << 1) ^ 0x1864cfb;
  }
  return crc;
}

function unescapeDash(line: string): string {
  if (line.startsWith('- ')) return line.slice(2);
  if (line.startsWith('-')) throw malformed('a line of text or a signature', line);
  return line;
}

/** Lines without their ends and the blanks before them. A last line without LF counts as a line. */
function linesOf(bytes: Uint8Array): string[] {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw malformed('UTF-8', 'other bytes');
  }
  if (text.includes('\0')) throw malformed('text', 'a NUL');

  const lines = text.split('\n', LIMITS.releaseLines + 1);
  if (lines.length > LIMITS.releaseLines)
    throw new DebgeoError('LIMIT_EXCEEDED', 'a signed file has too many lines', {
      expected: `at most ${LIMITS.releaseLines}`,
      found: 'more',
    });
  if (lines.at(-1) === '') lines.pop();
  return lines.map((line) => {
    const stripped = withoutEnd(line);
    if (stripped.includes('\r')) throw malformed('CR only at the end of a line', stripped);
    return stripped;
  });
}

function withoutEnd(line: string): string {
  let end = line.length;
  while (line[end - 1] === '\r') end -= 1;
  while (line[end - 1] === ' ' || line[end - 1] === '\t') end -= 1;
  return line.slice(0, end);
}

function malformed(expected: string, found: string): DebgeoError {
  return new DebgeoError('SIGNATURE_MALFORMED', 'this is not a signature as apt accepts it', {
    expected,
    found: quoted(found),
  });
}
