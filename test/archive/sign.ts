/** Keys and signatures as archives make them, and as they should not. */
import * as openpgp from 'openpgp';

export type Holder = openpgp.PrivateKey | openpgp.Subkey;

const YEAR = 365 * 24 * 3600;
export const yearsAgo = (years: number): Date => new Date(Math.floor(Date.now() / 1000 - years * YEAR) * 1000);

interface KeyOptions {
  readonly rsaBits?: number;
  readonly created?: Date;
  /** Of the primary key, after its creation. */
  readonly years?: number;
  readonly subkeys?: openpgp.SubkeyOptions[];
}

export async function makeKey(options: KeyOptions = {}): Promise<openpgp.PrivateKey> {
  const { rsaBits, created = yearsAgo(5), years = 0, subkeys = [] } = options;
  const algorithm = rsaBits === undefined ? ({ type: 'ecc', curve: 'ed25519Legacy' } as const) : ({ type: 'rsa', rsaBits } as const);
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
  const { privateKey: extended } = await openpgp.reformatKey({ privateKey: copy, userIDs, date: yearsAgo(0.1), format: 'object' });
  return extended;
}

export async function revokeKey(privateKey: openpgp.PrivateKey, date = yearsAgo(0.1)): Promise<openpgp.PublicKey> {
  const { publicKey } = await openpgp.revokeKey({
    key: privateKey,
    reasonForRevocation: { flag: openpgp.enums.reasonForRevocation.keyCompromised },
    date,
    format: 'object',
  });
  return publicKey;
}

export interface SignatureOptions {
  readonly created?: Date;
  readonly hash?: openpgp.enums.hash;
  readonly lifeSeconds?: number;
  readonly type?: openpgp.enums.signature;
}

export async function signBytes(holder: Holder, bytes: Uint8Array, options: SignatureOptions = {}): Promise<openpgp.SignaturePacket> {
  const { created = yearsAgo(0.01), hash = openpgp.enums.hash.sha512, lifeSeconds, type = openpgp.enums.signature.binary } = options;
  const key = holder.keyPacket as openpgp.SecretKeyPacket;
  const packet = new openpgp.SignaturePacket();
  packet.signatureType = type;
  packet.publicKeyAlgorithm = key.algorithm;
  packet.hashAlgorithm = hash;
  if (lifeSeconds !== undefined) {
    packet.signatureExpirationTime = lifeSeconds;
    packet.signatureNeverExpires = false;
  }
  const literal = (await openpgp.createMessage({ binary: bytes })).packets[0] as unknown as Uint8Array;
  // The types lack the last parameter, which signing needs.
  const sign: (...parameters: unknown[]) => Promise<void> = packet.sign.bind(packet) as never;
  await sign(key, literal, created, true, { ...openpgp.config, nonDeterministicSignaturesViaNotation: false });
  return packet;
}

/** What is signed in clear ends before the last LF. */
export const signText = (holder: Holder, body: string, options: SignatureOptions = {}): Promise<openpgp.SignaturePacket> =>
  signBytes(holder, Buffer.from(body.replace(/[ \t]+$/gm, '').replace(/\n$/, '')), { type: openpgp.enums.signature.text, ...options });

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
  return Buffer.from(`-----BEGIN PGP SIGNED MESSAGE-----\nHash: ${hashName}\n\n${text}${text.endsWith('\n') ? '' : '\n'}${signatures}`);
}

export const keyringOf = (...keys: openpgp.Key[]): Uint8Array => Buffer.concat(keys.map((key) => key.toPublic().write()));
