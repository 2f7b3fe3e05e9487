/** Changes of a signed file: its frame, the armor of its signatures, and the packets in them. */
import { withChecksum } from '../archive/sign.ts';
import type { Change, Dice } from './dice.ts';

const BEGIN = '-----BEGIN PGP SIGNATURE-----';
const BLOCK =
  /(-----BEGIN PGP SIGNATURE-----\n(?:[^\n]+\n)*\n)([A-Za-z0-9+/=\n]+?)\n(=[^\n]*\n)?(-----END)/;
const HEADERS = [
  'Version: GnuPG v2',
  'Comment:',
  'Comment:\t',
  'hello',
  ': x',
  'A:b',
  'Hash: SHA512',
];

/** One block of the file, in its parts. */
const editBlock = (
  name: string,
  edit: (parts: { head: string; base64: string; sum: string }, dice: Dice) => void,
): Change => ({
  name,
  apply: (text, dice) =>
    text.replace(BLOCK, (_, head: string, base64: string, sum: string | undefined, end: string) => {
      const parts = { head, base64, sum: sum ?? '' };
      edit(parts, dice);
      return `${parts.head}${parts.base64}\n${parts.sum}${end}`;
    }),
});
/** The packets of a block, in a right armor again. */
const editPackets = (name: string, edit: (bytes: Buffer, dice: Dice) => Buffer): Change => ({
  name,
  apply: (text, dice) =>
    withChecksum(
      text.replace(BLOCK, (_, head: string, base64: string, __: unknown, end: string) => {
        const bytes = edit(Buffer.from(base64, 'base64'), dice).toString('base64');
        return `${head}${bytes.replace(/.{64}/g, '$&\n').trimEnd()}\n${end}`;
      }),
    ),
});
const insert = (text: string, place: number, piece: string): string =>
  text.slice(0, place) + piece + text.slice(place);

export const ARMOR: readonly Change[] = [
  editBlock('another checksum', (parts, dice) => {
    const right = parts.sum.slice(1, -1) || 'AAAA';
    const sums = ['w', 'xyd', 'Ac&T', 'xyd\n\nY', '', 'AAAA', '!!!!', `${right}A`, `${right} `];
    parts.sum = `=${dice.pick(sums)}\n`;
  }),
  editBlock('a checksum on the line of the base64', (parts) => {
    parts.base64 += parts.sum.trimEnd();
    parts.sum = '';
  }),
  editBlock('no checksum', (parts) => {
    parts.sum = '';
  }),
  editBlock('something behind the checksum', (parts, dice) => {
    parts.sum += dice.pick(['AAAA\n', '\n', ' \n', 'Y\n', parts.sum, '=\n', `${parts.base64}\n`]);
  }),
  editBlock('something within the base64', (parts, dice) => {
    const pieces = [
      '!',
      ' ',
      '\n',
      '\n\n',
      '=',
      '==',
      '=\n',
      '-',
      '\t',
      'A',
      '=AB\n',
      '=3D',
      '\x80',
    ];
    parts.base64 = insert(parts.base64, dice.below(parts.base64.length + 1), dice.pick(pieces));
  }),
  editBlock('another padding', (parts, dice) => {
    const padding = dice.pick(['', '=', '==', '===', '\n=', '\n==', 'A=', 'AA==']);
    parts.base64 = parts.base64.replace(/=*$/, padding);
  }),
  editBlock('lines of another length', (parts, dice) => {
    const length = dice.pick([1, 4, 7, 76, 100, 10_000]);
    const base64 = parts.base64.replaceAll('\n', '');
    parts.base64 = base64.replace(new RegExp(`.{${length}}`, 'g'), '$&\n').trimEnd();
  }),
  editBlock('an armor header', (parts, dice) => {
    parts.head = parts.head.replace(/\n$/, `${dice.pick(HEADERS)}\n\n`);
  }),
  editBlock('another end of the armor headers', (parts, dice) => {
    parts.head = parts.head.replace(/\n$/, dice.pick(['', '\n\n', ' \n', '\t\n', '\r\n', 'A\n']));
  }),
  editBlock('another head', (parts, dice) => {
    const heads = ['MESSAGE', 'PUBLIC KEY BLOCK', 'SIGNATURE ', 'signature', 'SIGNATURE\t'];
    parts.head = parts.head.replace('SIGNATURE', dice.pick(heads));
  }),
  {
    name: 'a block twice',
    apply: (text) => `${text.replace(/\n?$/, '\n')}${text.slice(Math.max(0, text.indexOf(BEGIN)))}`,
  },
  {
    name: 'something around the blocks',
    apply: (text, dice) => {
      const piece = dice.pick(['\n', 'x\n', ' ', '\t\n', 'Suite: evil\n', '-----\n', `${BEGIN}\n`]);
      const places = [0, text.length, Math.max(0, text.indexOf(BEGIN))];
      return insert(text, dice.pick(places), piece);
    },
  },
  {
    name: 'another header of the text',
    apply: (text, dice) =>
      text.replace(
        /\nHash: [^\n]*\n/,
        dice.pick(['\n', '\nHash: SHA1\n', '\nNotDashEscaped: x\n', '\nX: y\n', '\n- X\n', '\n\n']),
      ),
  },
  {
    name: 'a dash escape',
    apply: (text, dice) => {
      const lines = text.split('\n');
      const place = dice.below(lines.length);
      lines[place] = dice.pick(['- ', '-', '- - ', ' - ']) + lines[place]!;
      return lines.join('\n');
    },
  },
];

/** Heads of packets, as they might stand before a body of this length. */
const HEADS: readonly ((tag: number, length: number) => readonly number[])[] = [
  (tag, length) => [0xc0 | tag, 0xff, 0, 0, length >> 8, length & 0xff],
  (tag, length) => [0xc0 | tag, length & 0xff],
  (tag, length) => [0x80 | (tag << 2) | 1, length >> 8, length & 0xff],
  (tag, length) => [0x80 | (tag << 2) | 2, 0, 0, length >> 8, length & 0xff],
  (tag) => [0x80 | (tag << 2) | 3],
  (tag) => [0xc0 | tag, 0xe9],
  (tag, length) => [0xc0 | tag, 0xff, 0, 0, (length + 1) >> 8, (length + 1) & 0xff],
];
const TAGS = [1, 2, 4, 6, 8, 10, 11, 13, 14, 17, 18, 21, 40, 60, 63];
const MARKER = Buffer.from([0xca, 3, 0x50, 0x47, 0x50]);

/** Where the body of the first packet begins: one or two octets of length, of either format. */
function headOf(bytes: Buffer): number {
  if ((bytes[0]! & 0x40) !== 0) return bytes[1]! < 192 ? 2 : 3;
  return [2, 3, 5, 1][bytes[0]! & 3]!;
}

/** Subpackets that say who signed and for how long, where they are not signed (RFC 4880, 5.2.3). */
const SUBPACKETS: readonly (readonly number[])[] = [
  [2, 0x65, 0, 0, 0],
  [3, 0, 0, 0, 1],
  [9, 0, 0, 0, 1],
  [16, 1, 2, 3, 4, 5, 6, 7, 8],
  [33, 4, ...new Array<number>(20).fill(7)],
  [20, 0x80, 0, 0, 0, 0, 1, 0, 1, 65, 66],
  [20 | 0x80, 0x80, 0, 0, 0, 0, 1, 0, 1, 65, 66],
  [100, 1],
  [100 | 0x80, 1],
  [0],
  [],
];

/** A signature of version 4, with something more, or less, in what is not signed. */
function editUnhashed(bytes: Buffer, dice: Dice): Buffer {
  const body = bytes.subarray(headOf(bytes));
  if (body.length < 6) return bytes;
  const place = 6 + body.readUInt16BE(4);
  if (body.length < place + 2) return bytes;
  const unhashed = body.subarray(place + 2, place + 2 + body.readUInt16BE(place));
  const piece = dice.pick(SUBPACKETS);
  const more = Buffer.from([piece.length, ...piece]);
  const area = dice.pick([Buffer.concat([unhashed, more]), Buffer.concat([more, unhashed]), more]);
  const rest = body.subarray(place + 2 + unhashed.length);
  const length = Buffer.from([area.length >> 8, area.length & 0xff]);
  const changed = Buffer.concat([body.subarray(0, place), length, area, rest]);
  return Buffer.concat([Buffer.from(HEADS[2]!(2, changed.length)), changed]);
}

export const PACKETS: readonly Change[] = [
  editPackets('another subpacket that is not signed', editUnhashed),
  editPackets('flip a bit of a packet', (bytes, dice) => {
    const place = dice.below(bytes.length);
    bytes[place] = bytes[place]! ^ (1 << dice.below(8));
    return bytes;
  }),
  editPackets('flip a bit of the first bytes', (bytes, dice) => {
    const place = dice.below(Math.min(bytes.length, 30));
    bytes[place] = bytes[place]! ^ (1 << dice.below(8));
    return bytes;
  }),
  editPackets('another version, type or algorithm', (bytes, dice) => {
    bytes[headOf(bytes) + dice.below(4)] = dice.pick([0, 1, 2, 3, 4, 5, 6, 8, 10, 22, 27, 255]);
    return bytes;
  }),
  editPackets('another head', (bytes, dice) => {
    const body = bytes.subarray(headOf(bytes));
    return Buffer.concat([Buffer.from(dice.pick(HEADS)(2, body.length)), body]);
  }),
  editPackets('a packet more', (bytes, dice) => {
    const body = Buffer.alloc(dice.below(20), dice.below(256));
    const more = Buffer.from([0xc0 | dice.pick(TAGS), body.length, ...body]);
    return Buffer.concat(dice.chance(0.5) ? [bytes, more] : [more, bytes]);
  }),
  editPackets('a marker', (bytes, dice) =>
    Buffer.concat(dice.chance(0.5) ? [bytes, MARKER] : [MARKER, bytes]),
  ),
  editPackets('the packet twice', (bytes) => Buffer.concat([bytes, bytes])),
  editPackets('bytes behind', (bytes, dice) =>
    Buffer.concat([bytes, Buffer.alloc(1 + dice.below(4), dice.pick([0, 0x80, 0xc2, 0xff]))]),
  ),
  editPackets('bytes less', (bytes, dice) => bytes.subarray(0, bytes.length - dice.few(20))),
  editPackets('bytes within', (bytes, dice) => {
    const place = dice.below(bytes.length);
    const piece = Buffer.from([dice.below(256)]);
    return Buffer.concat([bytes.subarray(0, place), piece, bytes.subarray(place)]);
  }),
];
