/** Keys, and what their signatures are worth. */
import * as openpgp from 'openpgp';

import {
  BODY,
  ed25519,
  encryptionSubkey,
  expired,
  inRelease,
  pair,
  revoked,
  rsa,
  signedBy,
  signedByBoth,
  stranger,
  subkey,
  subkeyExpired,
  subkeyOf,
  subkeyRevoked,
  weakRsa,
  withSubkey,
  young,
} from '../release-sets.ts';
import {
  adoptSubkey,
  armored,
  binary,
  clearsigned,
  extendKey,
  makeKey,
  revokeKey,
  signBytes,
  signText,
  yearsAgo,
} from '../sign.ts';
import { APT_SPLITS, type Case, changed, NEWER, newEd25519, signedText } from './case.ts';

const p256 = await makeKey({ type: { type: 'ecc', curve: 'nistP256' } });
const expiredWithSubkey = await makeKey({
  years: 4,
  subkeys: [{ sign: true, type: 'ecc', curve: 'ed25519Legacy' }],
});

export const keyCases: readonly Case[] = [
  { name: 'Ed25519', set: await signedBy(ed25519), keys: [ed25519], code: null },
  { name: 'RSA', set: await signedBy(rsa), keys: [ed25519, rsa], code: null },
  {
    name: 'a signing subkey of a pinned key',
    set: await signedBy(subkey),
    keys: [withSubkey],
    code: null,
  },
  { name: 'Release.gpg', set: await pair(ed25519), keys: [ed25519], code: null },
  {
    name: 'Release.gpg of text',
    set: await pair(rsa, BODY, { type: openpgp.enums.signature.text }),
    keys: [rsa],
    code: null,
  },
  {
    name: 'CRLF',
    set: inRelease(
      Buffer.from((await signedBy(rsa)).inRelease ?? [])
        .toString()
        .replaceAll('\n', '\r\n'),
    ),
    keys: [rsa],
    code: null,
  },
  {
    name: 'dashes and blanks at line ends',
    set: await signedText(`${BODY}-A: b\nX-C: - c \t\nX-D:  \n`),
    keys: [rsa],
    code: null,
  },
  {
    name: 'text that is not ASCII',
    set: await signedText(`${BODY}Label: Größe\n`),
    keys: [rsa],
    code: null,
  },
  {
    name: 'an unknown co-signer',
    set: await signedByBoth(stranger, ed25519),
    keys: [ed25519],
    code: null,
  },
  {
    name: 'two pinned signers',
    set: await signedByBoth(rsa, ed25519),
    keys: [ed25519, rsa],
    code: null,
  },
  {
    name: 'an expired co-signer',
    set: await signedByBoth(expired, ed25519),
    keys: [ed25519, expired],
    code: null,
  },
  {
    name: 'a revoked co-signer',
    set: await signedByBoth(rsa, ed25519),
    keys: [ed25519, revoked],
    code: null,
  },
  {
    name: 'an expired key that was extended since',
    set: await signedBy(expired),
    keys: [await extendKey(expired)],
    code: null,
  },
  {
    name: 'two signature blocks',
    set: inRelease(
      clearsigned(
        BODY,
        armored(await signText(rsa, BODY)) + armored(await signText(ed25519, BODY)),
      ),
    ),
    keys: [rsa],
    code: null,
  },
  { name: 'SHA-256', set: await signedBy(rsa, { hash: 'sha256' }), keys: [rsa], code: null },
  {
    name: 'a signature that expires later',
    set: await signedBy(rsa, { lifeSeconds: 365 * 24 * 3600 }),
    keys: [rsa],
    code: null,
  },

  {
    name: 'an unknown key',
    set: await signedBy(stranger),
    keys: [ed25519, rsa],
    code: 'SIGNATURE_UNKNOWN_KEY',
  },
  {
    name: 'a changed body',
    set: changed(await signedBy(ed25519)),
    keys: [ed25519],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'a changed body under an unknown key',
    set: changed(await signedBy(stranger)),
    keys: [ed25519],
    code: 'SIGNATURE_UNKNOWN_KEY',
  },
  {
    name: 'a torn Release and Release.gpg',
    set: await pair(ed25519, `${BODY} \n`),
    keys: [ed25519],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'a good and a bad signature of pinned keys',
    set: inRelease(
      clearsigned(BODY, armored(await signText(ed25519, BODY), await signText(rsa, `${BODY}x`))),
    ),
    keys: [ed25519, rsa],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'a key expired since it signed',
    set: await signedBy(expired, { created: yearsAgo(2) }),
    keys: [expired],
    code: 'SIGNATURE_KEY_EXPIRED',
  },
  {
    name: 'a key expired before it signed',
    set: await signedBy(expired),
    keys: [expired],
    code: 'SIGNATURE_KEY_EXPIRED',
  },
  {
    name: 'a subkey expired since it signed',
    set: await signedBy(subkeyOf(subkeyExpired), { created: yearsAgo(2) }),
    keys: [subkeyExpired],
    code: 'SIGNATURE_KEY_EXPIRED',
  },
  {
    name: 'a revoked key',
    set: await signedBy(rsa),
    keys: [revoked],
    code: 'SIGNATURE_KEY_REVOKED',
  },
  {
    name: 'a signature older than the revocation',
    set: await signedBy(rsa, { created: yearsAgo(2) }),
    keys: [revoked],
    code: 'SIGNATURE_KEY_REVOKED',
  },
  {
    name: 'a revoked subkey',
    set: await signedBy(subkey),
    keys: [subkeyRevoked],
    code: 'SIGNATURE_KEY_REVOKED',
  },
  {
    name: 'SHA-1',
    set: await signedBy(rsa, { hash: 'sha1' }),
    keys: [rsa],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'RIPEMD-160',
    set: await signedBy(rsa, { hash: 'ripemd' }),
    keys: [rsa],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'MD5',
    set: await signedBy(rsa, { hash: 'md5' }),
    keys: [rsa],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'an expired signature',
    set: await signedBy(rsa, { lifeSeconds: 60 }),
    keys: [rsa],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'a signature older than its key',
    set: await signedBy(young, { created: yearsAgo(2) }),
    keys: [young],
    code: 'SIGNATURE_INVALID',
    aptDiffers: 'apt tells gpgv to ignore that',
  },
  {
    name: 'a signature of tomorrow',
    set: await signedBy(rsa, { created: new Date(Date.now() + 24 * 3600_000) }),
    keys: [rsa],
    code: 'SIGNATURE_INVALID',
    gpgvDiffers:
      'gpgv does not compare the time of a signature with the clock; sqv (apt since 3.0) does',
    aptDiffers: 'apt 2.6 leaves it to gpgv',
  },
  {
    name: 'RSA of 1024 bits',
    set: await signedBy(weakRsa),
    keys: [weakRsa],
    code: 'SIGNATURE_INVALID',
    gpgvDiffers: 'gpgv has no bound; apt since 2.7.13 asserts >=rsa2048',
    aptDiffers: 'apt 2.6 leaves it to gpgv',
  },
  {
    name: 'a subkey that may only encrypt',
    set: await signedBy(subkeyOf(encryptionSubkey)),
    keys: [encryptionSubkey],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'text before the block',
    set: inRelease(
      Buffer.concat([
        Buffer.from('Suite: evil\n'),
        (await signedBy(rsa)).inRelease ?? Buffer.alloc(0),
      ]),
    ),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: APT_SPLITS,
  },
  {
    name: 'text after the block',
    set: inRelease(
      Buffer.concat([
        (await signedBy(rsa)).inRelease ?? Buffer.alloc(0),
        Buffer.from('Suite: evil\n'),
      ]),
    ),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: APT_SPLITS,
  },
  {
    name: 'a page of HTML',
    set: inRelease('<html><title>Welcome</title></html>'),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
  },
  {
    name: 'a truncated InRelease',
    set: inRelease(((await signedBy(rsa)).inRelease ?? Buffer.alloc(0)).subarray(0, -60)),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
  },
  {
    name: 'a binary Release.gpg',
    set: { ...(await pair(rsa)), releaseGpg: binary(await signBytes(rsa, Buffer.from(BODY))) },
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: 'gpgv reads both; apt refuses the binary one',
  },
  // Keys.
  { name: 'ECDSA over P-256', set: await signedBy(p256), keys: [p256], code: null },
  {
    name: 'Ed25519 under its new number',
    set: await signedBy(newEd25519),
    keys: [newEd25519],
    code: null,
    gpgvDiffers: NEWER,
    aptDiffers: NEWER,
  },
  { name: 'a good signature twice', set: await signedByBoth(rsa, rsa), keys: [rsa], code: null },
  {
    name: 'a primary key whose subkey has expired',
    set: await signedBy(subkeyExpired),
    keys: [subkeyExpired],
    code: null,
  },
  {
    name: 'a subkey of an expired key',
    set: await signedBy(subkeyOf(expiredWithSubkey)),
    keys: [expiredWithSubkey],
    code: 'SIGNATURE_KEY_EXPIRED',
  },
  {
    name: 'a subkey of a revoked key',
    set: await signedBy(subkey),
    keys: [await revokeKey(withSubkey)],
    code: 'SIGNATURE_KEY_REVOKED',
  },
  {
    name: 'a revoked subkey beside its good primary key',
    set: await signedByBoth(subkey, withSubkey),
    keys: [subkeyRevoked],
    code: null,
  },
  {
    name: 'a subkey that was taken over from another key',
    set: await signedBy(subkey),
    keys: [await adoptSubkey(rsa, subkey)],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'an armored keyring',
    set: await signedBy(rsa),
    keys: [rsa],
    keyring: Buffer.from(rsa.toPublic().armor().replaceAll('\r\n', '\n')),
    code: null,
  },
  {
    name: 'an armored keyring of two blocks',
    set: await signedBy(rsa),
    keys: [ed25519, rsa],
    keyring: Buffer.from(
      [ed25519, rsa].map((key) => key.toPublic().armor().replaceAll('\r\n', '\n')).join(''),
    ),
    code: null,
  },
  {
    name: 'an armored keyring that has another key',
    set: await signedBy(rsa),
    keys: [ed25519],
    keyring: Buffer.from(ed25519.toPublic().armor()),
    code: 'SIGNATURE_UNKNOWN_KEY',
  },

  // Digests and subpackets.
];
