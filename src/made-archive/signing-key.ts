/** The OpenPGP keys of archives, and what they sign. */
import { createCleartextMessage, createMessage, generateKey, readPrivateKey, sign } from 'openpgp';

/** The key of an archive, and its public half in both forms of a keyring file. */
export interface SigningKey {
  readonly name: string;
  /** Upper-case hex. */
  readonly fingerprint: string;
  readonly publicArmored: string;
  readonly publicBinary: Uint8Array;
  /** InRelease: the text, clear-signed. */
  signClear(text: string, at?: Date): Promise<string>;
  /** Release.gpg: an armored detached signature. */
  signDetached(text: string, at?: Date): Promise<string>;
}

/**
 * Ed25519 under its old algorithm number unless `type` says otherwise: gpgv 2.2 and apt 2.6 do not
 * accept the new number of RFC 9580.
 * @param options.created the key is valid from then on; now unless given
 * @param options.validForSeconds 0 or nothing: the key never expires
 */
export async function createSigningKey(
  name: string,
  options: {
    readonly type?: 'ed25519' | 'rsa';
    readonly created?: Date;
    readonly validForSeconds?: number;
  } = {},
): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKey({
    userIDs: [{ name, email: `${name.replaceAll(/[^a-z0-9]+/gi, '-')}@example.org` }],
    date: options.created ?? new Date(),
    keyExpirationTime: options.validForSeconds ?? 0,
    format: 'object',
    ...(options.type === 'rsa'
      ? { type: 'rsa', rsaBits: 2048 }
      : { type: 'ecc', curve: 'ed25519Legacy' }),
  });
  const signingKeys = await readPrivateKey({ armoredKey: privateKey.armor() });
  return {
    name,
    fingerprint: publicKey.getFingerprint().toUpperCase(),
    publicArmored: publicKey.armor(),
    publicBinary: publicKey.write(),
    async signClear(text, at = new Date()) {
      // The line end before the signature belongs to the frame and not to the text (RFC 9580, 7):
      // gpg leaves the last line end of the text to it.
      const message = await createCleartextMessage({ text: text.replace(/\n$/, '') });
      const signed = await sign({ message, signingKeys, date: at });
      return signed.replaceAll('\r\n', '\n');
    },
    async signDetached(text, at = new Date()) {
      const message = await createMessage({ binary: Buffer.from(text) });
      const signature = await sign({ message, signingKeys, detached: true, date: at });
      return signature.replaceAll('\r\n', '\n');
    },
  };
}
