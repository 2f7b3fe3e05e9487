import type { ErrorReport } from './errors.ts';

/**
 * A good signature of a pinned key on a release, and until when each thing that it hangs on is
 * good. Milliseconds since 1970; null: for ever. Fingerprints are upper-case hex.
 */
export interface GoodSignature {
  /** Of the pinned primary key. */
  readonly fingerprint: string;
  /** Of the certificate. */
  readonly keyUntil: number | null;
  /** What signed; null: the primary key itself. */
  readonly subkey: { readonly fingerprint: string; readonly until: number | null } | null;
  /** Signature Expiration Time (RFC 9580 §5.2.3.18); few archives set it. */
  readonly signatureUntil: number | null;
}

/** So long before it happens a person is told: a new key takes an archive and its mirrors weeks. */
export const KEY_EXPIRES_MS = 30 * 86_400_000;

interface End {
  readonly at: number;
  readonly what: string;
}

/**
 * When a release stops being accepted because what signed it ends, as gpgv and apt judge; null:
 * never, or nobody signed.
 *
 * One good key is enough, so of the keys the one that lasts longest decides: an archive that signs
 * with its old key and with the successor is safe, and keys of the keyring that did not sign do not
 * count (Debian's keyring holds old ones for years). A signature that has expired spoils the good
 * ones beside it (src/archive/verify-signature.ts), so of the signatures the first one decides.
 */
export function endOfTrust(signatures: readonly GoodSignature[]): End | null {
  const keys = signatures.map(endOfKey);
  const lastKey = keys.includes(null) ? null : keys.reduce(later, null);
  return signatures.map(endOfSignature).reduce(sooner, lastKey);
}

function endOfKey({ fingerprint, keyUntil, subkey }: GoodSignature): End | null {
  const key = keyUntil === null ? null : { at: keyUntil, what: `key ${fingerprint}` };
  if (subkey === null || subkey.until === null) return key;
  return sooner(key, { at: subkey.until, what: `subkey ${subkey.fingerprint} of ${fingerprint}` });
}

const endOfSignature = ({ fingerprint, signatureUntil }: GoodSignature): End | null =>
  signatureUntil === null ? null : { at: signatureUntil, what: `signature of ${fingerprint}` };

const sooner = (one: End | null, other: End | null): End | null =>
  one === null || (other !== null && other.at < one.at) ? other : one;
const later = (one: End | null, other: End | null): End | null =>
  one === null || (other !== null && other.at > one.at) ? other : one;

/**
 * The alarm before a key ends: from then on no release is accepted, by debgeo and by every client
 * that pins the same keys. Nothing is refused until then.
 * @param signatures of the newest accepted release
 * @returns null unless that is within KEY_EXPIRES_MS, or over; code KEY_EXPIRES
 */
export function judgeKeyExpiry(
  signatures: readonly GoodSignature[],
  now: Date,
): ErrorReport | null {
  const end = endOfTrust(signatures);
  const least = now.getTime() + KEY_EXPIRES_MS;
  if (end === null || end.at > least) return null;
  return {
    code: 'KEY_EXPIRES',
    message: 'what signs the newest release of the archive expires within 30 days',
    expected: `a signature that is good after ${new Date(least).toISOString()}`,
    found: `${end.what} expires ${new Date(end.at).toISOString()}`,
    state: 'the sites go on serving it',
  };
}
