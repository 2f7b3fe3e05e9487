/** Keys and signatures as archives make them, and as they should not. */
import * as openpgp from 'openpgp';

export type Holder = openpgp.PrivateKey | openpgp.Subkey;

const YEAR = 365 * 24 * 3600;
export const yearsAgo = (years: number): Date =>
  new Date(Math.floor(Date.now() / 1000 - years * YEAR) * 1000);

interface KeyOptions {
  /**
   * RSA of so many bits; Ed25519 under its old algorithm number, which gpgv knows, unless this or
   * `type` is given.
   */
  readonly rsaBits?: number;
  readonly type?:
    | { readonly type: 'ecc'; readonly curve: 'nistP256' }
    | { readonly type: 'curve25519' };
  readonly created?: Date;
  /** Of the primary key, after its creation. */
  readonly years?: number;
  readonly subkeys?: openpgp.SubkeyOptions[];
}

export async function makeKey(options: KeyOptions = {}): Promise<openpgp.PrivateKey> {
  const { rsaBits, created = yearsAgo(5), years = 0, subkeys = [] } = options;
  const { type = { type: 'ecc', curve: 'ed25519Legacy' } as const } = options;
  const algorithm = rsaBits === undefined ? type : ({ type: 'rsa', rsaBits } as const);
  const { privateKey } = await openpgp.generateKey({
    ...algorithm,
    userIDs: [{ name: 'Archive', email: 'archive@example.org' }],
    date: created,
    keyExpirationTime: years * YEAR,
    subkeys,
    format: 'object',
    config: { minRSABits: 1024 },
  });
  return privateKey;
}

/** A key that was released again with a longer life: new self-signatures, the same key. */
export async function extendKey(privateKey: openpgp.PrivateKey): Promise<openpgp.PrivateKey> {
  const copy = await openpgp.readPrivateKey({ binaryKey: privateKey.write() });
  const userIDs = [{ name: 'Archive', email: 'archive@example.org' }];
  const { privateKey: extended } = await openpgp.reformatKey({
    privateKey: copy,
    userIDs,
    date: yearsAgo(0.1),
    format: 'object',
  });
  return extended;
}

export async function revokeKey(
  privateKey: openpgp.PrivateKey,
  date = yearsAgo(0.1),
): Promise<openpgp.PublicKey> {
  const { publicKey } = await openpgp.revokeKey({
    key: privateKey,
    reasonForRevocation: { flag: openpgp.enums.reasonForRevocation.keyCompromised },
    date,
    format: 'object',
  });
  return publicKey;
}

/**
 * As a key that takes over the signing subkey of another: bound by the new owner, and not by the
 * subkey itself.
 */
export async function adoptSubkey(
  owner: openpgp.PrivateKey,
  foreign: openpgp.Subkey,
): Promise<openpgp.PublicKey> {
  const copy = await openpgp.readPrivateKey({ binaryKey: owner.write() });
  const binding = new openpgp.SignaturePacket();
  binding.signatureType = openpgp.enums.signature.subkeyBinding;
  binding.keyFlags = new Uint8Array([openpgp.enums.keyFlags.signData]);
  const adopted = new openpgp.Subkey(foreign.keyPacket, copy);
  await signPacket(
    binding,
    copy.keyPacket as openpgp.SecretKeyPacket,
    { key: copy.keyPacket, bind: foreign.keyPacket },
    yearsAgo(4),
    false,
  );
  adopted.bindingSignatures = [binding];
  copy.subkeys = [adopted];
  return copy.toPublic();
}

export interface SignatureOptions {
  readonly created?: Date;
  readonly hash?: openpgp.enums.hash;
  readonly lifeSeconds?: number;
  readonly type?: openpgp.enums.signature;
  /** A notation that a reader which does not know it must not ignore. */
  readonly criticalNotation?: boolean;
}

export async function signBytes(
  holder: Holder,
  bytes: Uint8Array,
  options: SignatureOptions = {},
): Promise<openpgp.SignaturePacket> {
  const {
    created = yearsAgo(0.01),
    hash = openpgp.enums.hash.sha512,
    lifeSeconds,
    type = openpgp.enums.signature.binary,
  } = options;
  const key = holder.keyPacket as openpgp.SecretKeyPacket;
  const packet = new openpgp.SignaturePacket();
  packet.signatureType = type;
  packet.hashAlgorithm = hash;
  if (lifeSeconds !== undefined) {
    packet.signatureExpirationTime = lifeSeconds;
    packet.signatureNeverExpires = false;
  }
  if (options.criticalNotation === true)
    packet.rawNotations = [
      {
        name: 'unheard-of@example.org',
        value: Buffer.from('x'),
        humanReadable: true,
        critical: true,
      },
    ];
  const literal = (await openpgp.createMessage({ binary: bytes }))
    .packets[0] as unknown as Uint8Array;
  await signPacket(packet, key, literal, created, true);
  return packet;
}

async function signPacket(
  packet: openpgp.SignaturePacket,
  key: openpgp.SecretKeyPacket,
  signed: object,
  created: Date,
  detached: boolean,
): Promise<void> {
  packet.publicKeyAlgorithm = key.algorithm;
  packet.hashAlgorithm ??= openpgp.enums.hash.sha512;
  // The types lack the last parameter, which signing needs.
  const sign: (...parameters: unknown[]) => Promise<void> = packet.sign.bind(packet) as never;
  await sign(key, signed, created, detached, {
    ...openpgp.config,
    nonDeterministicSignaturesViaNotation: false,
  });
}

/** What is signed in clear ends before the last LF. */
export const signText = (
  holder: Holder,
  body: string,
  options: SignatureOptions = {},
): Promise<openpgp.SignaturePacket> =>
  signBytes(holder, Buffer.from(body.replace(/[ \t]+$/gm, '').replace(/\n$/, '')), {
    type: openpgp.enums.signature.text,
    ...options,
  });

export function armored(...packets: openpgp.SignaturePacket[]): string {
  const list = new openpgp.PacketList<openpgp.SignaturePacket>();
  list.push(...packets);
  return new openpgp.Signature(list).armor().replaceAll('\r\n', '\n');
}

export function binary(...packets: openpgp.SignaturePacket[]): Uint8Array {
  const list = new openpgp.PacketList<openpgp.SignaturePacket>();
  list.push(...packets);
  return list.write();
}

export function clearsigned(body: string, signatures: string, hashName = 'SHA512'): Buffer {
  const text = body.replace(/^-/gm, '- -');
  const end = text.endsWith('\n') ? '' : '\n';
  return Buffer.from(
    `-----BEGIN PGP SIGNED MESSAGE-----\nHash: ${hashName}\n\n${text}${end}${signatures}`,
  );
}

export const keyringOf = (...keys: openpgp.Key[]): Uint8Array =>
  Buffer.concat(keys.map((key) => key.toPublic().write()));

/** Head, base64 without a checksum, and end of a signature block. */
const ARMOR = new RegExp(
  /(-----BEGIN PGP SIGNATURE-----\n(?:[^\n]+: [^\n]*\n)*\n)/.source +
    /([^=-][^-]*?)\n(?:=[^\n]{4}\n)?(-----END)/.source,
  'g',
);

/**
 * The signature blocks of a text, each with its checksum (RFC 4880, 6.1), which OpenPGP.js leaves
 * out; or with another.
 */
export const withChecksum = (
  text: string,
  checksum: (right: string) => string = (right) => right,
): string =>
  text.replace(
    ARMOR,
    (_, begin: string, base64: string, end: string) =>
      `${begin}${base64}\n=${checksum(crc24Of(Buffer.from(base64, 'base64')))}\n${end}`,
  );

function crc24Of(bytes: Uint8Array): string {
  let crc = 0xb704ce;
  for (const byte of bytes) {
    crc ^= byte << 16;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x800000 ? (crc << 1) ^ 0x1864cfb : crc << 1;
  }
  return Buffer.from([crc >> 16, crc >> 8, crc].map((byte) => byte & 0xff)).toString('base64');
}
