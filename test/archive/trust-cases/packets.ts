/** The packets in the armor of a signature (RFC 4880, 4.2 and 5.2.3). */
import type * as openpgp from 'openpgp';

import type { ErrorCode } from '../../../src/domain/errors.ts';
import type { ReleaseSet } from '../../../src/domain/snapshot.ts';
import { BODY, ed25519, inRelease, rsa, stranger } from '../release-sets.ts';
import { binary, clearsigned, signText, withChecksum } from '../sign.ts';
import { type Case, STRICTER } from './case.ts';

const armor = (bytes: Uint8Array): string =>
  [
    '-----BEGIN PGP SIGNATURE-----\n',
    Buffer.from(bytes).toString('base64').replace(/.{64}/g, '$&\n').trimEnd(),
    '-----END PGP SIGNATURE-----\n',
  ].join('\n');
const signedWith = (...blocks: readonly Uint8Array[]): ReleaseSet =>
  inRelease(clearsigned(BODY, blocks.map((bytes) => withChecksum(armor(bytes))).join('')));

const ofRsa = Buffer.from(binary(await signText(rsa, BODY)));
const ofStranger = Buffer.from(binary(await signText(stranger, BODY)));
const MARKER = Buffer.from([0xca, 3, 0x50, 0x47, 0x50]);
const USER_ID = Buffer.from([0xcd, 1, 0x41]);
/** Two octets of length: the head that `ofRsa` has. */
const HEAD = 3;
const bodyOf = (packet: Buffer): Buffer => packet.subarray(packet[1]! < 192 ? 2 : HEAD);
const headed = (head: readonly number[], body: Buffer): Buffer =>
  Buffer.concat([Buffer.from(head), body]);
const octets = (length: number): number[] => [length >> 8, length & 0xff];

/** The signature as if of another version, type or hash, which spoils it. */
function spoiled(packet: Buffer, place: 0 | 1 | 3, value: number): Buffer {
  const copy = Buffer.from(packet);
  copy[packet.length - bodyOf(packet).length + place] = value;
  return copy;
}

/** With one more subpacket where nothing is signed. */
function unsigned(packet: Buffer, subpacket: readonly number[]): Buffer {
  const body = bodyOf(packet);
  const place = 6 + body.readUInt16BE(4);
  const end = place + 2 + body.readUInt16BE(place);
  const area = Buffer.concat([body.subarray(place + 2, end), Buffer.from(subpacket)]);
  const changed = Buffer.concat([
    body.subarray(0, place),
    Buffer.from(octets(area.length)),
    area,
    body.subarray(end),
  ]);
  return headed([0x89, ...octets(changed.length)], changed);
}

/** Of whole groups of base64, so that no padding tells its end. */
function unpadded(packet: Buffer, more = 0): Buffer {
  const filled = unsigned(packet, [1 + more, 60, ...new Array<number>(more).fill(0)]);
  return filled.length % 3 === 0 ? filled : unpadded(packet, more + 1);
}

const ONE_BY_ONE = 'apt takes text and signatures apart, and gpgv then judges the first alone';
const issuer = (key: openpgp.Key): number[] => [
  9,
  16,
  ...Buffer.from(key.getKeyID().toHex(), 'hex'),
];

interface PacketCase {
  readonly blocks: readonly Uint8Array[];
  readonly accepted?: true;
  readonly stricter?: true;
  /** SIGNATURE_MALFORMED where it does not say. */
  readonly code?: ErrorCode;
  readonly gpgvDiffers?: string;
}

const cases: Readonly<Record<string, PacketCase>> = {
  'a packet with an old head': {
    blocks: [headed([0x89, ...octets(bodyOf(ofRsa).length)], bodyOf(ofRsa))],
    accepted: true,
  },
  'a packet with an old head of four octets': {
    blocks: [headed([0x8a, 0, 0, ...octets(bodyOf(ofRsa).length)], bodyOf(ofRsa))],
    accepted: true,
  },
  'a packet with a new head of five octets': {
    blocks: [headed([0xc2, 0xff, 0, 0, ...octets(bodyOf(ofRsa).length)], bodyOf(ofRsa))],
    accepted: true,
  },
  'a packet that lasts to the end': { blocks: [headed([0x8b], bodyOf(ofRsa))] },
  'a packet of partial length': { blocks: [headed([0xc2, 0xe8], bodyOf(ofRsa))] },
  'a packet that is cut': { blocks: [ofRsa.subarray(0, -1)] },
  'a marker in front of the signature': {
    blocks: [Buffer.concat([MARKER, ofRsa])],
    stricter: true,
  },
  'a marker behind the signature': { blocks: [Buffer.concat([ofRsa, MARKER])], stricter: true },
  'a wrong marker in front of the signature': {
    blocks: [Buffer.concat([Buffer.from([0xca, 3, 0x50, 0x47, 0x51]), ofRsa])],
  },
  'a user id behind the signature': { blocks: [Buffer.concat([ofRsa, USER_ID])], stricter: true },
  'a user id in front of the signature': { blocks: [Buffer.concat([USER_ID, ofRsa])] },
  'a zero behind the signature': {
    blocks: [Buffer.concat([ofRsa, Buffer.from([0])])],
    stricter: true,
  },
  'a signature of version 6 behind the good one': {
    blocks: [Buffer.concat([ofRsa, spoiled(ofStranger, 0, 6)])],
    accepted: true,
  },
  'a signature of version 6 before the good one': {
    blocks: [Buffer.concat([spoiled(ofStranger, 0, 6), ofRsa])],
  },
  'a signature of version 6 of ten bytes behind the good one of two': {
    blocks: [Buffer.concat([ofStranger, ofRsa, headed([0xc2, 10], Buffer.alloc(10, 6))])],
    gpgvDiffers: ONE_BY_ONE,
  },
  'a signature of another type, of a stranger, before the good one': {
    blocks: [spoiled(ofStranger, 1, 2), ofRsa],
    code: 'SIGNATURE_INVALID',
    gpgvDiffers: ONE_BY_ONE,
  },
  'a signature of another type, of a stranger, behind the good one': {
    blocks: [ofRsa, spoiled(ofStranger, 1, 2)],
    accepted: true,
  },
  'a signature of an unknown hash, of a stranger, before the good one': {
    blocks: [spoiled(ofStranger, 3, 99), ofRsa],
    code: 'SIGNATURE_INVALID',
    gpgvDiffers: ONE_BY_ONE,
  },
  'a signature of an unknown hash, of a stranger, behind the good one': {
    blocks: [ofRsa, spoiled(ofStranger, 3, 99)],
    accepted: true,
  },
  'a subpacket more where nothing is signed': {
    blocks: [unsigned(ofRsa, [2, 60, 0])],
    accepted: true,
  },
  'a critical subpacket where nothing is signed': {
    blocks: [unsigned(ofRsa, [2, 60 | 0x80, 0])],
    code: 'SIGNATURE_INVALID',
  },
  'a subpacket that is longer than its area': {
    blocks: [unsigned(ofRsa, [9, 60, 0])],
  },
  'a second issuer where nothing is signed': {
    blocks: [unsigned(ofRsa, issuer(stranger))],
    stricter: true,
  },
  'a bad signature with a second issuer beside a good one': {
    blocks: [
      unsigned(Buffer.from(binary(await signText(rsa, `${BODY}x`))), issuer(stranger)),
      ofRsa,
    ],
  },
};

export const packetCases: readonly Case[] = [
  ...Object.entries(cases).map(([name, { blocks, accepted, stricter, code, gpgvDiffers }]) => ({
    name,
    set: signedWith(...blocks),
    keys: [rsa],
    code: accepted ? null : (code ?? ('SIGNATURE_MALFORMED' as const)),
    ...(gpgvDiffers === undefined ? {} : { gpgvDiffers }),
    ...(stricter ? { gpgvDiffers: STRICTER, aptDiffers: STRICTER } : {}),
  })),
  {
    name: 'no checksum where no padding tells the end',
    set: inRelease(clearsigned(BODY, armor(unpadded(ofRsa)))),
    keys: [rsa],
    code: null,
  },
  {
    name: 'no checksum where no padding tells the end, and another block behind',
    set: inRelease(clearsigned(BODY, armor(unpadded(ofStranger)) + withChecksum(armor(ofRsa)))),
    keys: [rsa, ed25519],
    code: 'SIGNATURE_MALFORMED',
  },
];
