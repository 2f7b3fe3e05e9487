/**
 * Keys that are the same in every run, and secret to nobody: made from names. OpenPGP.js makes keys
 * of its own randomness only, so their packets are written here (RFC 4880, 5.5.3; the curve as
 * GnuPG 2.2 knows it).
 */
import { checkPrimeSync, createHash, createPrivateKey, createPublicKey } from 'node:crypto';

import * as openpgp from 'openpgp';

const YEAR = 365 * 24 * 3600;
const CREATED = new Date('2021-01-01T00:00:00Z');
const EDDSA_LEGACY = 22;
const RSA = 1;
const SECRET_KEY_TAG = 5;
const USER_ID_TAG = 13;
/** 1.3.6.1.4.1.11591.15.1, with its length before it. */
const ED25519 = Buffer.from('092b06010401da470f01', 'hex');
/** Head of a PKCS #8 Ed25519 key, before its 32 bytes. */
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');
/** What OpenPGP.js adds to signatures so that no two of them are alike. */
const SAME_AGAIN = { ...openpgp.config, nonDeterministicSignaturesViaNotation: false };

const bytesOf = (name: string, length: number): Buffer =>
  createHash('shake256', { outputLength: length }).update(name).digest();

function multiprecision(bytes: Uint8Array): Buffer {
  const digits = BigInt(`0x${Buffer.from(bytes).toString('hex')}`).toString(2);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(digits.length);
  return Buffer.concat([length, bytes.subarray(bytes.length - Math.ceil(digits.length / 8))]);
}

function packet(tag: number, body: Uint8Array): Buffer {
  const head = Buffer.from([0xc0 | tag, 0xff, 0, 0, 0, 0]);
  head.writeUInt32BE(body.length, 2);
  return Buffer.concat([head, body]);
}

/** A key in the clear: public parameters, secret ones, and the sum of their bytes. */
function secretKey(algorithm: number, open: Uint8Array, secret: Uint8Array): Buffer {
  const head = Buffer.alloc(6);
  head[0] = 4;
  head.writeUInt32BE(CREATED.getTime() / 1000, 1);
  head[5] = algorithm;
  const sum = Buffer.alloc(2);
  sum.writeUInt16BE(secret.reduce((total, byte) => (total + byte) & 0xffff, 0));
  return packet(SECRET_KEY_TAG, Buffer.concat([head, open, Buffer.from([0]), secret, sum]));
}

function ed25519Packet(name: string): Buffer {
  const seed = bytesOf(name, 32);
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8_ED25519, seed]),
    format: 'der',
    type: 'pkcs8',
  });
  const point = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32);
  const open = Buffer.concat([ED25519, multiprecision(Buffer.from([0x40, ...point]))]);
  return secretKey(EDDSA_LEGACY, open, multiprecision(seed));
}

function primeFrom(name: string): bigint {
  const start = BigInt(`0x${bytesOf(name, 128).toString('hex')}`) | (3n << 1022n) | 1n;
  for (let candidate = start; ; candidate += 2n)
    if (candidate % 65537n !== 1n && checkPrimeSync(candidate)) return candidate;
}

function inverse(of: bigint, modulus: bigint): bigint {
  let [remainder, next] = [modulus, of % modulus];
  let [factor, nextFactor] = [0n, 1n];
  while (next !== 0n) {
    const quotient = remainder / next;
    [remainder, next] = [next, remainder - quotient * next];
    [factor, nextFactor] = [nextFactor, factor - quotient * nextFactor];
  }
  return ((factor % modulus) + modulus) % modulus;
}

function rsaPacket(name: string): Buffer {
  const [p, q] = [primeFrom(`${name} p`), primeFrom(`${name} q`)];
  const numbers = (...all: readonly bigint[]): Buffer =>
    Buffer.concat(
      all.map((one) => {
        const hex = one.toString(16);
        return multiprecision(Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex'));
      }),
    );
  const d = inverse(65537n, (p - 1n) * (q - 1n));
  return secretKey(RSA, numbers(p * q, 65537n), numbers(d, p, q, inverse(p, q)));
}

async function keyOf(bytes: Buffer, name: string, years: number): Promise<openpgp.PrivateKey> {
  const userIDs = [{ name, email: `${name}@example.org` }];
  const user = packet(USER_ID_TAG, Buffer.from(`${name} <${name}@example.org>`));
  const { privateKey } = await openpgp.reformatKey({
    privateKey: await openpgp.readPrivateKey({ binaryKey: Buffer.concat([bytes, user]) }),
    userIDs,
    date: CREATED,
    keyExpirationTime: years * YEAR,
    format: 'object',
    config: SAME_AGAIN,
  });
  return privateKey;
}

const ed25519 = (name: string, years = 0): Promise<openpgp.PrivateKey> =>
  keyOf(ed25519Packet(name), name, years);

async function revoked(key: openpgp.PrivateKey): Promise<openpgp.PublicKey> {
  const { publicKey } = await openpgp.revokeKey({
    key,
    reasonForRevocation: { flag: openpgp.enums.reasonForRevocation.keyCompromised },
    date: new Date('2024-01-01T00:00:00Z'),
    format: 'object',
    config: SAME_AGAIN,
  });
  return publicKey;
}

export const signers = {
  one: await ed25519('one'),
  other: await keyOf(rsaPacket('other'), 'other', 0),
  expired: await ed25519('expired', 3),
  revoked: await ed25519('revoked'),
  /** Is pinned by nobody. */
  stranger: await ed25519('stranger'),
} as const;
export type SignerName = keyof typeof signers;

const pinned: readonly openpgp.Key[] = [
  signers.one.toPublic(),
  signers.other.toPublic(),
  signers.expired.toPublic(),
  await revoked(signers.revoked),
];
/** All but the stranger's, and the first ones alone. */
export const keyrings: readonly Uint8Array[] = [pinned, [signers.one.toPublic()]].map((keys) =>
  Buffer.concat(keys.map((key) => key.write())),
);
