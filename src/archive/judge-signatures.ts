/**
 * Judges single signatures and the pinned keys behind them, by what both are worth *now*.
 * OpenPGP.js judges keys at the time of the signature and would accept one that has expired since:
 * key and expiry are judged here.
 */
import * as openpgp from 'openpgp';

import { hasLongLine } from '../domain/clearsigned.ts';
import { DebgeoError } from '../domain/errors.ts';
import { FUTURE_MS } from '../domain/freshness.ts';
import type { GoodSignature } from '../domain/key-expiry.ts';
import { quoted } from '../domain/text.ts';
import { type SignatureBytes, splitSignatureBlocks } from './signature-packets.ts';

/**
 * `bad`: does not match, has expired, or is of a kind that GnuPG does not know; apt then refuses
 * the file, whatever other signatures it has. `unusable`: authentic, and not accepted for a reason
 * of the signature itself: a weak hash, its time, a key that may not sign.
 */
export type SignatureVerdict = 'good' | 'bad' | 'revoked' | 'expired' | 'unusable' | 'unknown';

/** What is signed, in the form in which OpenPGP.js hashes it. */
interface Signed {
  readonly literal: object;
  /** GnuPG, and so apt, cuts a longer line of text and finds the signature bad. */
  readonly hasLongLine: boolean;
}

export interface JudgedSignature {
  readonly verdict: SignatureVerdict;
  /**
   * Fingerprint of the pinned primary key, or of the unknown issuer as far as the signature tells
   * it.
   */
  readonly issuer: string;
  readonly reason: string;
  /** There with the verdict `good`. */
  readonly good?: GoodSignature;
}

const WEAK_HASHES: ReadonlySet<number> = new Set([
  openpgp.enums.hash.md5,
  openpgp.enums.hash.sha1,
  openpgp.enums.hash.ripemd,
]);
/** Those of RFC 9580 without SHA-3, which GnuPG does not know: apt refuses such signatures. */
const KNOWN_HASHES: ReadonlySet<unknown> = new Set(
  Object.entries(openpgp.enums.hash).flatMap(([name, hash]) =>
    name.startsWith('sha3_') ? [] : [hash],
  ),
);
/** The strength of the hash is judged afterwards: a signature may be bad whatever its hash. */
const ANY_HASH = {
  ...openpgp.config,
  rejectHashAlgorithms: new Set(),
  rejectMessageHashAlgorithms: new Set(),
} as openpgp.Config;

export async function judgeSignatures(
  signed: Uint8Array,
  blocks: readonly Uint8Array[],
  keys: readonly openpgp.Key[],
  now: Date,
): Promise<JudgedSignature[]> {
  const message = await openpgp.createMessage({ binary: signed });
  const literal = message.packets[0];
  if (literal === undefined) throw new Error('OpenPGP.js made a message without a packet');
  const document = { literal, hasLongLine: hasLongLine(signed) };
  const judged: JudgedSignature[] = [];
  const signatures: ReadSignature[] = [];
  for (const bytes of splitSignatureBlocks(blocks))
    signatures.push({ ...bytes, openpgp: await readSignature(bytes.packet) });
  for (const signature of signatures) {
    const one = await judgeSignature(signature, document, keys, now);
    judged.push(isLikeFirst(signature, signatures) ? one : passedOver(one));
  }
  return judged;
}

/**
 * GnuPG 2.2 judges several signatures only where all are of one type and it knows the hash of the
 * first; else it judges the first alone (g10/mainproc.c, proc_tree). So the first has to be good
 * then, and none of the others bad.
 */
function isLikeFirst(one: ReadSignature, all: readonly ReadSignature[]): boolean {
  const first = all[0]!;
  return (
    one === first || (KNOWN_HASHES.has(first.hash) && all.every(({ type }) => type === first.type))
  );
}

const passedOver = (judged: JudgedSignature): JudgedSignature =>
  judged.verdict === 'good'
    ? { ...judged, verdict: 'unusable', reason: 'GnuPG judges the first signature alone' }
    : judged;

interface ReadSignature extends SignatureBytes {
  readonly openpgp: openpgp.SignaturePacket;
}

async function readSignature(bytes: Uint8Array): Promise<openpgp.SignaturePacket> {
  try {
    const { packets } = await openpgp.readSignature({ binarySignature: bytes });
    const [packet] = packets;
    if (packet instanceof openpgp.SignaturePacket) return packet;
  } catch (error) {
    throw new DebgeoError(
      'SIGNATURE_MALFORMED',
      'a signature cannot be read',
      { found: quoted(error) },
      error,
    );
  }
  throw new DebgeoError('SIGNATURE_MALFORMED', 'a signature cannot be read');
}

/**
 * By the pinned keys that its issuer may be: good if one of them accepts it, else as the first of
 * them judges it.
 */
async function judgeSignature(
  signature: ReadSignature,
  signed: Signed,
  keys: readonly openpgp.Key[],
  now: Date,
): Promise<JudgedSignature> {
  const { openpgp: packet } = signature;
  let refused: JudgedSignature | null = null;
  for (const primary of keys) {
    for (const signing of primary.getKeys(packet.issuerKeyID)) {
      const [verdict, reason] = await judgeByKey(signature, signed, primary, signing, now);
      const judged = { verdict, reason, issuer: primary.getFingerprint().toUpperCase() };
      if (verdict === 'good')
        return { ...judged, good: await lifeOf(packet, primary, signing, now) };
      refused ??= judged;
    }
  }
  const issuer =
    packet.issuerFingerprint === null
      ? packet.issuerKeyID.toHex()
      : hexOf(packet.issuerFingerprint);
  return refused ?? { verdict: 'unknown', issuer: issuer.toUpperCase(), reason: 'not pinned' };
}

async function judgeByKey(
  { openpgp: packet, hasUnsignedCritical }: ReadSignature,
  signed: Signed,
  primary: openpgp.Key,
  signing: openpgp.Key | openpgp.Subkey,
  now: Date,
): Promise<[SignatureVerdict, string]> {
  const { signatureType, created, hashAlgorithm } = packet;
  // GnuPG looks for a key by the fingerprint, and then by the key id.
  if (
    packet.issuerFingerprint !== null &&
    hexOf(packet.issuerFingerprint) !== signing.getFingerprint()
  )
    return ['bad', 'of another fingerprint'];
  if (
    signatureType !== openpgp.enums.signature.binary &&
    signatureType !== openpgp.enums.signature.text
  )
    return ['bad', 'not of a document'];
  if (!KNOWN_HASHES.has(hashAlgorithm)) return ['bad', 'unknown hash'];
  if (
    hasUnsignedCritical ||
    packet.unknownSubpackets.some(({ critical }) => critical) ||
    packet.rawNotations.some(({ critical }) => critical)
  ) {
    return ['bad', 'unknown critical subpacket'];
  }
  if (created === null) return ['bad', 'no creation time'];
  if (signed.hasLongLine && signatureType === openpgp.enums.signature.text)
    return ['bad', 'a line longer than GnuPG reads'];
  try {
    await packet.verify(signing.keyPacket, signatureType, signed.literal, created, true, ANY_HASH);
  } catch (error) {
    return ['bad', quoted(error)];
  }
  if (hashAlgorithm !== null && WEAK_HASHES.has(hashAlgorithm)) return ['unusable', 'weak hash'];
  if (created.getTime() > now.getTime() + FUTURE_MS)
    return ['unusable', `created ${created.toISOString()}`];
  if (packet.getExpirationTime() <= now) return ['bad', 'signature expired'];
  if (created < signing.getCreationTime()) return ['unusable', 'older than its key'];
  return judgeKey(primary, signing, now);
}

async function judgeKey(
  primary: openpgp.Key,
  signing: openpgp.Key | openpgp.Subkey,
  now: Date,
): Promise<[SignatureVerdict, string]> {
  const subkey = signing instanceof openpgp.Subkey ? signing : null;
  if (await isRevoked(primary, subkey)) return ['revoked', 'revoked'];

  for (const end of await endsOf(primary, subkey, now)) {
    if (end !== null && end <= now) return ['expired', `expired ${end.toISOString()}`];
  }
  try {
    const usable = await primary.getSigningKey(signing.getKeyID(), now);
    if (usable.getFingerprint() === signing.getFingerprint()) return ['good', 'good'];
    return ['unusable', 'another key has the same id'];
  } catch (error) {
    return ['unusable', quoted(error)];
  }
}

/** When the certificate ends, and when the subkey; null: never, or there is none. */
export async function endsOf(
  primary: openpgp.Key,
  subkey: openpgp.Subkey | null,
  now: Date,
): Promise<readonly [Date | null, Date | null]> {
  const dateOf = (end: Date | number | null): Date | null => (end instanceof Date ? end : null);
  return [
    dateOf(await primary.getExpirationTime()),
    subkey === null ? null : dateOf(await subkey.getExpirationTime(now)),
  ];
}

async function lifeOf(
  packet: openpgp.SignaturePacket,
  primary: openpgp.Key,
  signing: openpgp.Key | openpgp.Subkey,
  now: Date,
): Promise<GoodSignature> {
  const subkey = signing instanceof openpgp.Subkey ? signing : null;
  const [keyUntil, subkeyUntil] = await endsOf(primary, subkey, now);
  const signatureUntil = packet.getExpirationTime();
  return {
    fingerprint: primary.getFingerprint().toUpperCase(),
    keyUntil: keyUntil?.getTime() ?? null,
    subkey:
      subkey === null
        ? null
        : {
            fingerprint: subkey.getFingerprint().toUpperCase(),
            until: subkeyUntil?.getTime() ?? null,
          },
    signatureUntil: signatureUntil instanceof Date ? signatureUntil.getTime() : null,
  };
}

/** Any revocation by the key itself counts, whatever its date and reason, as for gpgv. */
export async function isRevoked(
  primary: openpgp.Key,
  subkey: openpgp.Subkey | null,
): Promise<boolean> {
  const { keyRevocation, subkeyRevocation } = openpgp.enums.signature;
  const key = primary.keyPacket;
  for (const revocation of primary.revocationSignatures) {
    if (await isSignedBy(revocation, key, keyRevocation, { key })) return true;
  }
  for (const revocation of subkey?.revocationSignatures ?? []) {
    if (await isSignedBy(revocation, key, subkeyRevocation, { key, bind: subkey?.keyPacket }))
      return true;
  }
  return false;
}

async function isSignedBy(
  packet: openpgp.SignaturePacket,
  key: openpgp.AnyKeyPacket,
  type: openpgp.enums.signature,
  signed: object,
): Promise<boolean> {
  try {
    await packet.verify(key, type, signed, packet.created ?? new Date(0), false, ANY_HASH);
    return true;
  } catch {
    return false;
  }
}

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
