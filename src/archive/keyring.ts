/** The pinned keys of an archive, as OpenPGP.js holds them. */
import * as openpgp from 'openpgp';

import { DebgeoError } from '../domain/errors.ts';
import { quoted } from '../domain/text.ts';

const KEY_BLOCK =
  /-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n[^]*?\n-----END PGP PUBLIC KEY BLOCK-----/g;

/**
 * @param bytes public keys, armored (one or more blocks, text around them) or binary
 * @throws CONFIG_INVALID  it cannot be read, holds no key, or a secret one
 */
export async function readKeyring(bytes: Uint8Array): Promise<openpgp.Key[]> {
  const merged = new Map<string, openpgp.Key>();
  try {
    for (const key of await readKeyBlocks(bytes)) {
      if (key.isPrivate()) throw new Error('a secret key is no part of a keyring');
      // A ring may hold a key twice, of different age: what either says (extended, revoked) counts.
      const known = merged.get(key.getFingerprint());
      merged.set(
        key.getFingerprint(),
        known === undefined ? key : await known.update(key as openpgp.PublicKey),
      );
    }
  } catch (error) {
    throw new DebgeoError(
      'CONFIG_INVALID',
      'the keyring cannot be read',
      { expected: 'public keys, armored or binary', found: quoted(error) },
      error,
    );
  }
  if (merged.size === 0)
    throw new DebgeoError('CONFIG_INVALID', 'the keyring holds no key', {
      expected: 'public keys, armored or binary',
    });
  return [...merged.values()];
}

async function readKeyBlocks(bytes: Uint8Array): Promise<openpgp.Key[]> {
  const binary = ((bytes[0] ?? 0) & 0x80) !== 0;
  if (binary) return openpgp.readKeys({ binaryKeys: bytes });
  const keys: openpgp.Key[] = [];
  for (const [block] of Buffer.from(bytes).toString('latin1').matchAll(KEY_BLOCK)) {
    keys.push(...(await openpgp.readKeys({ armoredKeys: block })));
  }
  return keys;
}
