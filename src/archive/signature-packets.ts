/**
 * The packets of signature blocks (RFC 4880, 4.2 and 5.2.3), taken apart before OpenPGP.js reads
 * them. It passes over what it does not know; GnuPG 2.2 refuses everything for one packet that it
 * cannot read (g10/mainproc.c, do_proc_packets), whoever signed it. So a block is signatures of
 * version 4 and nothing else, each in one form:
 *
 * - its length is known: none is partial, none lasts to the end;
 * - its subpackets fill their areas, and name one issuer. Where they name two, programs choose
 *   differently whose signature it is;
 * - its numbers fill the rest.
 */
import { DebgeoError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import { quoted } from '../domain/text.ts';

const SIGNATURE_TAG = 2;
const VERSION = 4;
/** A shorter one is for GnuPG a signature of which it knows nothing, whatever its version. */
const SIGNATURE_BYTES = 16;
/** GnuPG: parse_signature. */
const AREA_BYTES = 10_000;
const [ISSUER, ISSUER_FINGERPRINT] = [16, 33];
const FINGERPRINT_BYTES = 20;
const KEY_ID_BYTES = 8;
/** How many numbers a signature of an algorithm has: RSA one, DSA, ECDSA and old EdDSA two. */
const NUMBERS: ReadonlyMap<number, number> = new Map([
  [1, 1],
  [3, 1],
  [17, 2],
  [19, 2],
  [22, 2],
]);

export interface SignatureBytes {
  /** The whole packet, to be read by itself. */
  readonly packet: Uint8Array;
  /** Of which kind it is: the type of the signature. */
  readonly type: number;
  readonly hash: number;
  /** It says, where nothing is signed, that a reader must know something. */
  readonly hasUnsignedCritical: boolean;
}

/**
 * The signatures of all blocks, up to the first one of a newer version, where GnuPG 2.2 ends: it
 * may stand behind those of version 4, for newer programs.
 * @throws SIGNATURE_MALFORMED
 */
export function splitSignatureBlocks(blocks: readonly Uint8Array[]): SignatureBytes[] {
  const signatures: SignatureBytes[] = [];
  for (const block of blocks) {
    const bytes = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
    for (let start = 0; start < bytes.length;) {
      const { tag, from, to } = readHead(bytes, start);
      if (tag !== SIGNATURE_TAG) throw malformed('signatures alone', `a packet of kind ${tag}`);
      const body = bytes.subarray(from, to);
      if (body.length < SIGNATURE_BYTES) throw malformed('a signature', `${body.length} bytes`);
      if (signatures.length > 0 && readNumber(body, 0, 1) > VERSION) return signatures;
      if (signatures.length >= LIMITS.signatures)
        throw malformed(`at most ${LIMITS.signatures} signatures`, 'more');
      signatures.push({ packet: bytes.subarray(start, to), ...readBody(body) });
      start = to;
    }
  }
  return signatures;
}

function readHead(bytes: Buffer, start: number): { tag: number; from: number; to: number } {
  const first = bytes[start]!;
  if ((first & 0x80) === 0) throw malformed('a packet', 'other bytes');
  const isNew = (first & 0x40) !== 0;
  const tag = isNew ? first & 0x3f : (first >> 2) & 0x0f;
  const { length, octets } = isNew
    ? readNewLength(bytes, start + 1)
    : readOldLength(bytes, start + 1, first & 3);
  const from = start + 1 + octets;
  if (from + length > bytes.length) throw malformed('whole packets', 'a part of one');
  return { tag, from, to: from + length };
}

interface Length {
  readonly length: number;
  /** That it takes itself. */
  readonly octets: number;
}

function readOldLength(bytes: Buffer, at: number, type: number): Length {
  const octets = [1, 2, 4][type];
  if (octets === undefined) throw malformed('packets of known length', 'one that lasts to the end');
  return { length: readNumber(bytes, at, octets), octets };
}

function readNewLength(bytes: Buffer, at: number): Length {
  const first = readNumber(bytes, at, 1);
  if (first < 192) return { length: first, octets: 1 };
  if (first < 224)
    return { length: ((first - 192) << 8) + readNumber(bytes, at + 1, 1) + 192, octets: 2 };
  if (first < 255) throw malformed('packets of known length', 'a partial one');
  return { length: readNumber(bytes, at + 1, 4), octets: 5 };
}

function readNumber(bytes: Buffer, at: number, octets: number): number {
  if (at + octets > bytes.length) throw malformed('whole packets', 'a part of one');
  return bytes.readUIntBE(at, octets);
}

/** Version, type, algorithm, hash, two areas of subpackets, two octets of the hash, numbers. */
function readBody(body: Buffer): Omit<SignatureBytes, 'packet'> {
  const version = readNumber(body, 0, 1);
  if (version !== VERSION) throw malformed('a signature of version 4', `version ${version}`);
  const [type, algorithm, hash] = [1, 2, 3].map((at) => readNumber(body, at, 1));
  const signed = readArea(body, 4);
  const unsigned = readArea(body, signed.end);
  const issuers = new Set([...signed.subpackets, ...unsigned.subpackets].flatMap(issuerOf));
  if (issuers.size > 1) throw malformed('one issuer', [...issuers].join(' '));
  readNumber(body, unsigned.end, 2);
  assertNumbers(body.subarray(unsigned.end + 2), NUMBERS.get(algorithm!));
  const hasUnsignedCritical = unsigned.subpackets.some(({ isCritical }) => isCritical);
  return { type: type!, hash: hash!, hasUnsignedCritical };
}

interface Subpacket {
  readonly type: number;
  readonly isCritical: boolean;
  readonly data: Buffer;
}

function readArea(body: Buffer, at: number): { subpackets: Subpacket[]; end: number } {
  const end = at + 2 + readNumber(body, at, 2);
  if (end > body.length || end - at - 2 > AREA_BYTES)
    throw malformed(`at most ${AREA_BYTES} bytes of subpackets`, 'more');
  const area = body.subarray(at + 2, end);
  const subpackets: Subpacket[] = [];
  for (let start = 0; start < area.length;) {
    const { length, octets } = readSubpacketLength(area, start);
    const data = area.subarray(start + octets, start + octets + length);
    if (length === 0 || data.length < length) throw malformed('whole subpackets', 'a part of one');
    const type = data[0]!;
    subpackets.push({
      type: type & 0x7f,
      isCritical: (type & 0x80) !== 0,
      data: data.subarray(1),
    });
    start += octets + length;
  }
  return { subpackets, end };
}

/** As of packets, but none is partial. */
function readSubpacketLength(area: Buffer, at: number): Length {
  const first = readNumber(area, at, 1);
  if (first < 192) return { length: first, octets: 1 };
  if (first < 255)
    return { length: ((first - 192) << 8) + readNumber(area, at + 1, 1) + 192, octets: 2 };
  return { length: readNumber(area, at + 1, 4), octets: 5 };
}

/** The key id: of a fingerprint of version 4 its end. */
function issuerOf({ type, data }: Subpacket): string[] {
  if (type !== ISSUER && type !== ISSUER_FINGERPRINT) return [];
  const isId = type === ISSUER && data.length === KEY_ID_BYTES;
  const isFingerprint = data[0] === VERSION && data.length === 1 + FINGERPRINT_BYTES;
  if (!isId && !(type === ISSUER_FINGERPRINT && isFingerprint))
    throw malformed('an issuer of version 4', 'another');
  return [data.subarray(-KEY_ID_BYTES).toString('hex')];
}

function assertNumbers(rest: Buffer, count: number | undefined): void {
  if (count === undefined) return;
  let at = 0;
  for (let number = 0; number < count; number += 1)
    at += 2 + Math.ceil(readNumber(rest, at, 2) / 8);
  if (at !== rest.length) throw malformed(`${count} numbers`, `${rest.length} bytes`);
}

function malformed(expected: string, found: string): DebgeoError {
  return new DebgeoError('SIGNATURE_MALFORMED', 'a signature cannot be read', {
    expected,
    found: quoted(found),
  });
}
