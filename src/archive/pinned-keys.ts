/** A keyring as a person reads it: what is pinned, and until when. */
import * as openpgp from 'openpgp';

import { quoted } from '../domain/text.ts';
import { endsOf, isRevoked } from './judge-signatures.ts';
import { readKeyring } from './keyring.ts';

interface Life {
  /** Upper-case hex. */
  readonly fingerprint: string;
  /** `unusable`: nothing that it signs is accepted now: it is not vouched for, or of the future. */
  readonly state: 'valid' | 'expired' | 'revoked' | 'unusable';
  /** Milliseconds since 1970; null: for ever. */
  readonly until: number | null;
}

export interface PinnedKey extends Life {
  /** As the key says; printable. */
  readonly userIds: readonly string[];
  /** Those that may sign. A subkey ends with its key, too. */
  readonly subkeys: readonly Life[];
}

/** @throws CONFIG_INVALID the keyring cannot be read */
export async function describeKeyring(keyring: Uint8Array, now: Date): Promise<PinnedKey[]> {
  const described: PinnedKey[] = [];
  for (const key of await readKeyring(keyring)) {
    const subkeys: Life[] = [];
    for (const subkey of key.subkeys.filter(maySign)) subkeys.push(await lifeOf(key, subkey, now));
    described.push({
      ...(await lifeOf(key, null, now)),
      userIds: key.getUserIDs().map(quoted),
      subkeys,
    });
  }
  return described;
}

async function lifeOf(key: openpgp.Key, subkey: openpgp.Subkey | null, now: Date): Promise<Life> {
  const [keyEnd, subkeyEnd] = await endsOf(key, subkey, now);
  const end = subkey === null ? keyEnd : subkeyEnd;
  const isOver = end !== null && end <= now;
  const usable = subkey === null ? key.verifyPrimaryKey(now) : subkey.verify(now);
  const isUsable = await usable.then(
    () => true,
    () => false,
  );
  return {
    fingerprint: (subkey ?? key).getFingerprint().toUpperCase(),
    state: (await isRevoked(key, subkey))
      ? 'revoked'
      : isOver
        ? 'expired'
        : isUsable
          ? 'valid'
          : 'unusable',
    until: end?.getTime() ?? null,
  };
}

const maySign = ({ bindingSignatures }: openpgp.Subkey): boolean =>
  bindingSignatures.some(
    ({ keyFlags }) => ((keyFlags?.[0] ?? 0) & openpgp.enums.keyFlags.signData) !== 0,
  );
