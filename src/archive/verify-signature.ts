/**
 * Judges the signatures of a Release set as apt does with gpgv: the verdict depends on pinned keys
 * alone and on what they are worth *now*.
 *
 * Accepted iff at least one signature of a pinned key is good, that key and its signing subkey are
 * neither revoked nor expired, and no pinned key gives a signature that is bad, has expired or
 * cannot be judged. Signatures of unknown keys are ignored (apt does so: archives sign with the
 * keys of several releases). Case by case against gpgv and apt:
 * test/archive/trust-differential.test.ts.
 */
import type * as openpgp from 'openpgp';

import { isSameText, splitClearsigned, splitSignatures } from '../domain/clearsigned.ts';
import { DebgeoError, type ErrorCode } from '../domain/errors.ts';
import type { GoodSignature } from '../domain/key-expiry.ts';
import { LIMITS } from '../domain/limits.ts';
import { parseRelease, type Release } from '../domain/release.ts';
import type { ReleaseSet } from '../domain/snapshot.ts';
import {
  judgeSignatures,
  type JudgedSignature,
  type SignatureVerdict,
} from './judge-signatures.ts';
import { readKeyring } from './keyring.ts';

export interface Signature {
  /**
   * Fingerprints of the pinned primary keys that signed, 40 upper-case hex digits each; empty if
   * unsigned was allowed.
   */
  readonly signers: readonly string[];
  /** Their signatures. */
  readonly good: readonly GoodSignature[];
  /** The signed bytes: parse only these. */
  readonly body: Uint8Array;
  /** What of the set may be served: see `whatBelongsTogether`. */
  readonly taken: ReleaseSet;
}

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
    return { signers: [], good: [], body, taken: await whatBelongsTogether(set, body, null, now) };
  const keys = await readKeyring(keyring);
  if (inRelease !== null) {
    const good = acceptedSignatures(
      await judgeSignatures(inRelease.signed, inRelease.signatures, keys, now),
      keys,
      'InRelease',
    );
    const taken = await whatBelongsTogether(set, body, keys, now);
    return { signers: signersOf(good), good, body, taken };
  }
  if (set.releaseGpg === null) {
    throw new DebgeoError('RELEASE_UNSIGNED', 'there is neither InRelease nor Release.gpg', {
      expected: fingerprintsOf(keys),
      found: 'none',
    });
  }
  const good = await signaturesOfRelease(body, set.releaseGpg, keys, now);
  return { signers: signersOf(good), good, body, taken: set };
}

/**
 * The same of a release that was accepted once: by what the keys are worth now, or were worth when
 * it was dated, or when it had been signed. Whether it has expired since is not asked: clients have
 * it.
 * @throws those of verifyReleaseSet, as of now, and of parseRelease
 */
export async function verifyOnce(
  set: ReleaseSet,
  keyring: Uint8Array | null,
): Promise<Signature & { readonly release: Release }> {
  const now = new Date();
  const release = parseRelease((await verifyReleaseSet(set, null, now)).body);
  try {
    return { ...(await verifyReleaseSet(set, keyring, now)), release };
  } catch (error) {
    for (const then of timesOf(release)) {
      const at = new Date(Math.min(then, now.getTime()));
      const verified = await verifyReleaseSet(set, keyring, at).catch(() => null);
      if (verified !== null) return { ...verified, release };
    }
    throw error;
  }
}

/** Date of a release, and when it had been signed; milliseconds. */
const timesOf = ({ date }: Release): number[] =>
  date === null ? [] : [date.getTime(), date.getTime() + LIMITS.signingMs];

/** What is signed in clear ends before the last LF of the text (RFC 9580, 7.1). */
function openInRelease(
  bytes: Uint8Array,
  unsignedAllowed: boolean,
): { body: Uint8Array; signed: Uint8Array; signatures: readonly Uint8Array[] } {
  const framed = Buffer.from(bytes.subarray(0, 64))
    .toString('latin1')
    .startsWith('-----BEGIN PGP SIGNED MESSAGE-----');
  if (!framed && unsignedAllowed) return { body: bytes, signed: bytes, signatures: [] };
  const { body, signatures } = splitClearsigned(bytes);
  return { body, signed: body.at(-1) === LF ? body.subarray(0, -1) : body, signatures };
}

/**
 * An authentic InRelease decides alone, as for apt, which then asks for nothing else. Release and
 * Release.gpg beside it are for older clients, and are taken only as far as they say the same:
 *
 * - a Release that differs from InRelease is left out: the site has the indices of InRelease, and a
 *   client of that Release would find others than it lists;
 * - a Release.gpg that would not be accepted over the Release that is taken is left out: no client
 *   accepts it;
 * - a Release.gpg without a Release to sign is left out, too.
 *
 * Waiting until the three agree would be no safer: an archive with InRelease alone gives no such
 * hint and has to be read as safely. And the wait would not end where a cache, or a tool that
 * writes InRelease only, keeps an old file for good (bookworm-updates behind caches does). At a
 * site a file that is left out is a 404, on which an older client stops; half of another release
 * would be a hash mismatch or a bad signature.
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
    await signaturesOfRelease(release, releaseGpg, keys, now);
    return set;
  } catch (error) {
    if (error instanceof DebgeoError) return { inRelease, release, releaseGpg: null };
    throw error;
  }
}

const signersOf = (good: readonly GoodSignature[]): string[] => [
  ...new Set(good.map(({ fingerprint }) => fingerprint)),
];

const signaturesOfRelease = async (
  release: Uint8Array,
  releaseGpg: Uint8Array,
  keys: readonly openpgp.Key[],
  now: Date,
): Promise<GoodSignature[]> =>
  acceptedSignatures(
    await judgeSignatures(release, splitSignatures(releaseGpg), keys, now),
    keys,
    'Release.gpg',
  );

function acceptedSignatures(
  judged: readonly JudgedSignature[],
  keys: readonly openpgp.Key[],
  file: string,
): GoodSignature[] {
  const has = (verdict: SignatureVerdict) =>
    judged.some((signature) => signature.verdict === verdict);
  if (has('bad')) throw refusal('SIGNATURE_INVALID', file, judged, keys);
  if (has('good'))
    return judged.flatMap(({ verdict, good }) =>
      verdict === 'good' && good !== undefined ? [good] : [],
    );
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

const fingerprintsOf = (keys: readonly openpgp.Key[]): string =>
  keys.map((key) => key.getFingerprint().toUpperCase()).join(', ');
