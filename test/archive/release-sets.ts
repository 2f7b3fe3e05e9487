/** Keys as archives hold them, and Release sets that they signed over one body. */
import assert from 'node:assert/strict';

import * as openpgp from 'openpgp';

import { sha256Of } from '../../src/domain/sha256.ts';
import type { ReleaseSet } from '../../src/domain/snapshot.ts';
import {
  armored,
  clearsigned,
  type Holder,
  makeKey,
  revokeKey,
  signBytes,
  signText,
  type SignatureOptions,
  yearsAgo,
} from './sign.ts';

export const PACKAGES = Buffer.from(
  'Package: hello\nVersion: 1.0\nArchitecture: amd64\nFilename: pool/hello.deb\n' +
    `Size: 1\nSHA256: ${'0'.repeat(64)}\n`,
);
/** A Release that apt takes as it is, beside `PACKAGES` in main/binary-amd64. */
export const BODY = [
  'Origin: Test',
  'Suite: stable',
  'Architectures: amd64',
  'Components: main',
  'Date: Thu, 01 Jan 2026 00:00:00 UTC',
  'SHA256:',
  ` ${sha256Of(PACKAGES)} ${PACKAGES.length} main/binary-amd64/Packages`,
  '',
].join('\n');
export const nothing: ReleaseSet = { inRelease: null, release: null, releaseGpg: null };
const signingSubkey = { sign: true, type: 'ecc', curve: 'ed25519Legacy' } as const;

export const ed25519 = await makeKey();
export const rsa = await makeKey({ rsaBits: 2048 });
export const stranger = await makeKey();
export const withSubkey = await makeKey({ subkeys: [signingSubkey] });
export const subkey = subkeyOf(withSubkey);
export const expired = await makeKey({ years: 4 });
export const subkeyExpired = await makeKey({
  subkeys: [{ ...signingSubkey, keyExpirationTime: 4 * 365 * 24 * 3600 }],
});
export const revoked = await revokeKey(rsa);
export const subkeyRevoked = await withRevokedSubkey(withSubkey);
export const weakRsa = await makeKey({ rsaBits: 1024 });
export const encryptionSubkey = await makeKey({
  rsaBits: 2048,
  subkeys: [{ sign: false, type: 'rsa', rsaBits: 2048 }],
});
export const young = await makeKey({ created: yearsAgo(1) });

export function subkeyOf(key: openpgp.Key): openpgp.Subkey {
  const found = key.subkeys[0];
  assert.ok(found);
  return found;
}

async function withRevokedSubkey(key: openpgp.PrivateKey): Promise<openpgp.PublicKey> {
  const copy = await openpgp.readPrivateKey({ binaryKey: key.write() });
  const reason = { flag: openpgp.enums.reasonForRevocation.keySuperseded };
  copy.subkeys = [
    await subkeyOf(copy).revoke(copy.keyPacket as openpgp.SecretKeyPacket, reason, yearsAgo(0.1)),
  ];
  return copy.toPublic();
}

export const inRelease = (bytes: Uint8Array | string): ReleaseSet => ({
  ...nothing,
  inRelease: Buffer.from(bytes),
});
const HASH_NAMES = {
  md5: 'MD5',
  sha1: 'SHA1',
  ripemd: 'RIPEMD160',
  sha256: 'SHA256',
  sha224: 'SHA224',
  sha384: 'SHA384',
  sha512: 'SHA512',
  sha3_256: 'SHA3-256',
} as const;
export const signedBy = async (
  holder: Holder,
  options: Omit<SignatureOptions, 'hash'> & { hash?: keyof typeof HASH_NAMES } = {},
) => {
  const { hash = 'sha512' } = options;
  const signature = await signText(holder, BODY, { ...options, hash: openpgp.enums.hash[hash] });
  return inRelease(clearsigned(BODY, armored(signature), HASH_NAMES[hash]));
};
export const signedByBoth = async (one: Holder, other: Holder) =>
  inRelease(clearsigned(BODY, armored(await signText(one, BODY), await signText(other, BODY))));
export const pair = async (
  holder: Holder,
  release = BODY,
  options?: SignatureOptions,
): Promise<ReleaseSet> => ({
  ...nothing,
  release: Buffer.from(release),
  releaseGpg: Buffer.from(armored(await signBytes(holder, Buffer.from(BODY), options))),
});
