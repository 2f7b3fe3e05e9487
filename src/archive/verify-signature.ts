/**
 * Judges the signatures of a Release set as apt does with gpgv: the verdict depends on pinned keys
 * alone and on what they are worth *now*.
 *
 * Accepted iff at least one signature of a pinned key is good, that key and its signing subkey are
 * neither revoked nor expired, and no pinned key gives a signature that is bad, has expired or
 * cannot be judged. Signatures of unknown keys are ignored (apt does so: archives sign with the
 * keys of several releases). Case by case against gpgv and apt:
 * test/archive/trust-differential.test.ts. OpenPGP.js judges keys at the time of the signature and
 * would accept one that has expired since: key and expiry are judged here.
 */
import * as openpgp from 'openpgp';

import { isSameText, splitClearsigned, splitSignatures } from '../domain/clearsigned.ts';
import { DebgeoError, type ErrorCode } from '../domain/errors.ts';
import { FUTURE_MS } from '../domain/freshness.ts';
import { LIMITS } from '../domain/limits.ts';
import type { ReleaseSet } from '../domain/snapshot.ts';
import { quoted, readKeyring } from './keyring.ts';

export interface Signature {
  /**
   * Fingerprints of the pinned primary keys that signed, 40 upper-case hex digits each; empty if
   * unsigned was allowed.
   */
  readonly signers: readonly string[];
  /** The signed bytes: parse only these. */
  readonly body: Uint8Array;
  /** What of the set may be served: see `whatBelongsTogether`. */
  readonly taken: ReleaseSet;
}

/**
 * `bad`: does not match, has expired, or is of a kind that nobody knows; apt then refuses whatever
 * else is there. `unusable`: authentic, and not accepted for a reason of the signature itself: a
 * weak hash, its time, a key that may not sign.
 */
type Verdict = 'good' | 'bad' | 'revoked' | 'expired' | 'unusable' | 'unknown';

/** What is signed, in the form in which OpenPGP.js hashes it. */
interface Signed {
  readonly literal: object;
  /** GnuPG, and so apt, cuts lines of text here and finds the signature bad. */
  readonly hasLongLine: boolean;
}

interface JudgedSignature {
  readonly verdict: Verdict;
  /**
   * Fingerprint of the pinned primary key, or of the unknown issuer as far as the signature tells
   * it.
   */
  readonly issuer: string;
  readonly reason: string;
}

const WEAK_HASHES: ReadonlySet<number> = new Set([
  openpgp.enums.hash.md5,
  openpgp.enums.hash.sha1,
  openpgp.enums.hash.ripemd,
]);
/** Of RFC 9580, without SHA-3: GnuPG knows none of it, so that apt refuses what is signed so. */
const KNOWN_HASHES: ReadonlySet<unknown> = new Set(
  Object.entries(openpgp.enums.hash).flatMap(([name, hash]) =>
    name.startsWith('sha3_') ? [] : [hash],
  ),
);
/**
 * Whether bytes were signed is asked apart from whether the hash is strong: a bad signature counts
 * whatever its hash.
 */
const ANY_HASH = {
  ...openpgp.config,
  rejectHashAlgorithms: new Set(),
  rejectMessageHashAlgorithms: new Set(),
} as openpgp.Config;
const LF = 0x0a;

/**
 * @param keyring pinned public keys, armored (one or more blocks) or binary; null accepts an
 *   unsigned Release set
 * @throws RELEASE_UNSIGNED a Release without Release.gpg and without InRelease
 * @throws SIGNATURE_MALFORMED, SIGNATURE_INVALID, SIGNATURE_UNKNOWN_KEY, SIGNATURE_KEY_EXPIRED,
 *   SIGNATURE_KEY_REVOKED
 * @throws CONFIG_INVALID the keyring cannot be read
 */
export async function verifyReleaseSet(
  set: ReleaseSet,
  keyring: Uint8Array | null,
  now: Date,
): Promise<Signature> {
  const inRelease = set.inRelease === null ? null : openInRelease(set.inRelease, keyring === null);
  const body = inRelease?.body ?? set.release;
  if (body === null) throw new DebgeoError('RELEASE_MISSING', 'neither InRelease nor Release');

  if (keyring === null)
    return { signers: [], body, taken: await whatBelongsTogether(set, body, null, now) };
  const keys = await readKeyring(keyring);
  if (inRelease !== null) {
    const signers = acceptedSigners(
      await judgeSignatures(inRelease.signed, inRelease.signatures, keys, now),
      keys,
      'InRelease',
    );
    return { signers, body, taken: await whatBelongsTogether(set, body, keys, now) };
  }
  if (set.releaseGpg === null) {
    throw new DebgeoError('RELEASE_UNSIGNED', 'there is neither InRelease nor Release.gpg', {
      expected: fingerprintsOf(keys),
      found: 'none',
    });
  }
  return { signers: await signersOfRelease(body, set.releaseGpg, keys, now), body, taken: set };
}

/** What is signed in clear ends before the last LF of the text (RFC 9580, 7.1). */
function openInRelease(
  bytes: Uint8Array,
  unsignedAllowed: boolean,
): { body: Uint8Array; signed: Uint8Array; signatures: readonly string[] } {
  const framed = Buffer.from(bytes.subarray(0, 64))
    .toString('latin1')
    .startsWith('-----BEGIN PGP SIGNED MESSAGE-----');
  if (!framed && unsignedAllowed) return { body: bytes, signed: bytes, signatures: [] };
  const { body, signatures } = splitClearsigned(bytes);
  return { body, signed: body.at(-1) === LF ? body.subarray(0, -1) : body, signatures };
}

/**
 * An InRelease that is authentic decides alone, as for apt, which then asks for nothing else.
 * Release and Release.gpg beside it are for older clients, and are taken only as far as they say
 * the same:
 *
 * - a Release that says anything else is left out: the site has the indices of InRelease, and a
 *   client of that Release would find others than it lists;
 * - a Release.gpg that would not be accepted over the Release that is taken is left out: it lets
 *   nobody in, and was accepted by nobody;
 * - a Release.gpg without a Release to sign is left out, too.
 *
 * Waiting until the three agree would be no safer, for an archive with InRelease alone gives no
 * such hint and has to be read as safely; and it would not end where a cache, or a tool that writes
 * InRelease only, keeps an old file for good (bookworm-updates behind caches does). At a site
 * whatever is left out is a 404, on which an older client stops; half of another release would be a
 * hash mismatch or a bad signature.
 * @param keys null: unsigned is accepted, and a Release.gpg cannot be judged
 */
async function whatBelongsTogether(
  set: ReleaseSet,
  body: Uint8Array,
  keys: readonly openpgp.Key[] | null,
  now: Date,
): Promise<ReleaseSet> {
  const { inRelease, release, releaseGpg } = set;
  if (inRelease === null) return set;
  if (release === null || !isSameText(release, body))
    return { inRelease, release: null, releaseGpg: null };
  if (releaseGpg === null || keys === null) return set;
  try {
    await signersOfRelease(release, releaseGpg, keys, now);
    return set;
  } catch (error) {
    if (error instanceof DebgeoError) return { inRelease, release, releaseGpg: null };
    throw error;
  }
}

const signersOfRelease = async (
  release: Uint8Array,
  releaseGpg: Uint8Array,
  keys: readonly openpgp.Key[],
  now: Date,
): Promise<string[]> =>
  acceptedSigners(
    await judgeSignatures(release, splitSignatures(releaseGpg), keys, now),
    keys,
    'Release.gpg',
  );

function acceptedSigners(
  judged: readonly JudgedSignature[],
  keys: readonly openpgp.Key[],
  file: string,
): string[] {
  const has = (verdict: Verdict) => judged.some((signature) => signature.verdict === verdict);
  if (has('bad')) throw refusal('SIGNATURE_INVALID', file, judged, keys);
  if (has('good'))
    return [
      ...new Set(judged.filter(({ verdict }) => verdict === 'good').map(({ issuer }) => issuer)),
    ];
  if (has('revoked')) throw refusal('SIGNATURE_KEY_REVOKED', file, judged, keys);
  if (has('expired')) throw refusal('SIGNATURE_KEY_EXPIRED', file, judged, keys);
  if (has('unusable')) throw refusal('SIGNATURE_INVALID', file, judged, keys);
  throw refusal('SIGNATURE_UNKNOWN_KEY', file, judged, keys);
}

function refusal(
  code: ErrorCode,
  file: string,
  judged: readonly JudgedSignature[],
  keys: readonly openpgp.Key[],
): DebgeoError {
  const found = judged.map(({ issuer, reason }) => `${issuer} (${reason})`).join(', ');
  return new DebgeoError(code, `no acceptable signature of a pinned key on ${file}`, {
    expected: fingerprintsOf(keys),
    found,
  });
}

async function judgeSignatures(
  signed: Uint8Array,
  armored: readonly string[],
  keys: readonly openpgp.Key[],
  now: Date,
): Promise<JudgedSignature[]> {
  const message = await openpgp.createMessage({ binary: signed });
  const literal = message.packets[0];
  if (literal === undefined) throw new Error('OpenPGP.js made a message without a packet');
  const document = { literal, hasLongLine: hasLongLine(signed) };
  const judged: JudgedSignature[] = [];
  for (const packet of await readSignatures(armored))
    judged.push(await judgeSignature(packet, document, keys, now));
  return judged;
}

function hasLongLine(bytes: Uint8Array): boolean {
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(LF, start);
    const length = (end === -1 ? bytes.length : end) - start;
    if (length > LIMITS.signedLineBytes) return true;
    start += length + 1;
  }
  return false;
}

async function readSignatures(armored: readonly string[]): Promise<openpgp.SignaturePacket[]> {
  const packets: openpgp.SignaturePacket[] = [];
  for (const block of armored) {
    try {
      const signature = await openpgp.readSignature({ armoredSignature: block });
      packets.push(
        ...signature.packets.filter((packet) => packet instanceof openpgp.SignaturePacket),
      );
    } catch (error) {
      throw new DebgeoError(
        'SIGNATURE_MALFORMED',
        'a signature cannot be read',
        { found: quoted(error) },
        error,
      );
    }
  }
  if (packets.length === 0)
    throw new DebgeoError('SIGNATURE_MALFORMED', 'there is no signature that can be read');
  if (packets.length > LIMITS.signatures) {
    throw new DebgeoError('SIGNATURE_MALFORMED', 'too many signatures', {
      expected: `at most ${LIMITS.signatures}`,
      found: String(packets.length),
    });
  }
  return packets;
}

async function judgeSignature(
  packet: openpgp.SignaturePacket,
  signed: Signed,
  keys: readonly openpgp.Key[],
  now: Date,
): Promise<JudgedSignature> {
  let first: JudgedSignature | null = null;
  for (const primary of keys) {
    for (const signing of primary.getKeys(packet.issuerKeyID)) {
      if (
        packet.issuerFingerprint !== null &&
        hexOf(packet.issuerFingerprint) !== signing.getFingerprint()
      )
        continue;
      const [verdict, reason] = await judgeByKey(packet, signed, primary, signing, now);
      const judged = { verdict, reason, issuer: primary.getFingerprint().toUpperCase() };
      if (verdict === 'good') return judged;
      first ??= judged;
    }
  }
  const issuer =
    packet.issuerFingerprint === null
      ? packet.issuerKeyID.toHex()
      : hexOf(packet.issuerFingerprint);
  return first ?? { verdict: 'unknown', issuer: issuer.toUpperCase(), reason: 'not pinned' };
}

async function judgeByKey(
  packet: openpgp.SignaturePacket,
  signed: Signed,
  primary: openpgp.Key,
  signing: openpgp.Key | openpgp.Subkey,
  now: Date,
): Promise<[Verdict, string]> {
  const { signatureType, created, hashAlgorithm } = packet;
  if (
    signatureType !== openpgp.enums.signature.binary &&
    signatureType !== openpgp.enums.signature.text
  )
    return ['bad', 'not of a document'];
  if (!KNOWN_HASHES.has(hashAlgorithm)) return ['bad', 'unknown hash'];
  if (
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
): Promise<[Verdict, string]> {
  const subkey = signing instanceof openpgp.Subkey ? signing : null;
  if (await isRevoked(primary, subkey)) return ['revoked', 'revoked'];

  const expiry = await primary.getExpirationTime();
  const subkeyExpiry = subkey === null ? Infinity : await subkey.getExpirationTime(now);
  for (const end of [expiry, subkeyExpiry]) {
    if (end instanceof Date && end <= now) return ['expired', `expired ${end.toISOString()}`];
  }
  try {
    const usable = await primary.getSigningKey(signing.getKeyID(), now);
    if (usable.getFingerprint() === signing.getFingerprint()) return ['good', 'good'];
    return ['unusable', 'another key has the same id'];
  } catch (error) {
    return ['unusable', quoted(error)];
  }
}

/** Any revocation by the key itself counts, whatever its date and reason: so says gpgv. */
async function isRevoked(primary: openpgp.Key, subkey: openpgp.Subkey | null): Promise<boolean> {
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

const fingerprintsOf = (keys: readonly openpgp.Key[]): string =>
  keys.map((key) => key.getFingerprint().toUpperCase()).join(', ');
