/**
 * Trust, case by case: our verdict beside those of gpgv and of the apt of this host. Nothing may
 * differ that is not listed with its reason, and where apt differs, it is we who refuse, unless the
 * reason says that its GnuPG is older than the algorithm.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';

import * as openpgp from 'openpgp';

import { verifyReleaseSet } from '../../src/archive/verify-signature.ts';
import type { ErrorCode } from '../../src/domain/errors.ts';
import type { ReleaseSet } from '../../src/domain/snapshot.ts';
import { findApt } from '../../src/witness/apt-client.ts';
import { needsApt } from '../support/needs.ts';
import { rejectsWith } from './archive-contract.ts';
import { hasGnupg, openGnupg } from './gnupg.ts';
import {
  BODY,
  ed25519,
  encryptionSubkey,
  expired,
  inRelease,
  nothing,
  PACKAGES,
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
} from './release-sets.ts';
import {
  adoptSubkey,
  armored,
  binary,
  clearsigned,
  extendKey,
  keyringOf,
  makeKey,
  revokeKey,
  signBytes,
  signText,
  withChecksum,
  yearsAgo,
} from './sign.ts';

const body = Buffer.from(BODY);
const p256 = await makeKey({ type: { type: 'ecc', curve: 'nistP256' } });
const newEd25519 = await makeKey({ type: { type: 'curve25519' } });
const expiredWithSubkey = await makeKey({
  years: 4,
  subkeys: [{ sign: true, type: 'ecc', curve: 'ed25519Legacy' }],
});

const bytesOf = (set: ReleaseSet): Buffer => Buffer.from(set.inRelease ?? []);
/** InRelease after somebody in between had his way with it; the replacement applies. */
const edited = (set: ReleaseSet, from: string | RegExp, to: string): ReleaseSet => {
  const text = bytesOf(set).toString('latin1');
  const other = text.replace(from, to);
  assert.notEqual(other, text);
  return inRelease(Buffer.from(other, 'latin1'));
};
const changed = (set: ReleaseSet): ReleaseSet => edited(set, 'Suite: stable', 'Suite: stab1e');
const summed = (set: ReleaseSet, checksum?: (right: string) => string): ReleaseSet =>
  inRelease(Buffer.from(withChecksum(bytesOf(set).toString('latin1'), checksum), 'latin1'));
const signedOnce = async (...packets: openpgp.SignaturePacket[]): Promise<ReleaseSet> =>
  inRelease(clearsigned(BODY, armored(...packets)));
const signedText = async (
  text: string,
  encoding: 'utf8' | 'latin1' = 'utf8',
): Promise<ReleaseSet> => {
  const signed = Buffer.from(text.replace(/[ \t]+$/gm, '').replace(/\n$/, ''), encoding);
  const signature = armored(await signBytes(rsa, signed, { type: openpgp.enums.signature.text }));
  return inRelease(Buffer.from(clearsigned(text, signature).toString(), encoding));
};
const pairOf = async (releaseGpg: string): Promise<ReleaseSet> => ({
  ...nothing,
  release: body,
  releaseGpg: Buffer.from(releaseGpg),
});

const pairOver = async (text: string, type: openpgp.enums.signature): Promise<ReleaseSet> => ({
  ...nothing,
  release: Buffer.from(text),
  releaseGpg: Buffer.from(armored(await signBytes(rsa, Buffer.from(text), { type }))),
});

interface Case {
  readonly name: string;
  readonly set: ReleaseSet;
  /** What gpgv is given, binary, and we and apt, too, unless `keyring` says otherwise. */
  readonly keys: readonly openpgp.Key[] | Uint8Array;
  readonly keyring?: Uint8Array;
  /** Null: accepted. */
  readonly code: ErrorCode | null;
  /** Why gpgv alone says something else. */
  readonly gpgvDiffers?: string;
  /** Why apt 2.6 says something else, in whichever direction. */
  readonly aptDiffers?: string;
}

const FRAME = 'gpgv reads the headers and line ends of the frame; apt gives it the text alone';
const UNJUDGED =
  'gpgv says of one that it cannot judge it, and good of the other; apt refuses both';
const STRICTER = 'stricter on purpose: OpenPGP programs differ from each other there';
const NEWER = 'GnuPG 2.2 does not know the algorithm; sqv, which apt uses since 3.0, does';
const DSA = 'apt since 2.7.13 refuses DSA';
const APT_SPLITS =
  'gpgv looks for the signed block; apt splits the file itself and refuses what is outside';

const cases: Case[] = [
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
      'gpgv does not compare the time of a signature with the clock; sqv, which apt uses since 3.0, does',
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
  { name: 'SHA-224', set: await signedBy(rsa, { hash: 'sha224' }), keys: [rsa], code: null },
  { name: 'SHA-384', set: await signedBy(rsa, { hash: 'sha384' }), keys: [rsa], code: null },
  {
    name: 'SHA3-256',
    set: await signedBy(rsa, { hash: 'sha3_256' }),
    keys: [rsa],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'SHA-1 of one key and SHA-512 of another',
    set: await signedOnce(
      await signText(rsa, BODY, { hash: openpgp.enums.hash.sha1 }),
      await signText(ed25519, BODY),
    ),
    keys: [rsa, ed25519],
    code: null,
  },
  {
    name: 'a bad signature in SHA-1 beside a good one',
    set: inRelease(
      clearsigned(
        BODY,
        armored(
          await signText(rsa, `${BODY}x`, { hash: openpgp.enums.hash.sha1 }),
          await signText(ed25519, BODY),
        ),
        'SHA1, SHA512',
      ),
    ),
    keys: [rsa, ed25519],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'a bad signature of an unknown key beside a good one',
    set: await signedOnce(await signText(stranger, `${BODY}x`), await signText(rsa, BODY)),
    keys: [rsa],
    code: null,
  },
  {
    name: 'a bad signature of an expired key beside a good one',
    set: await signedOnce(await signText(expired, `${BODY}x`), await signText(rsa, BODY)),
    keys: [rsa, expired],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'a bad signature of a revoked key beside a good one',
    set: await signedOnce(await signText(rsa, `${BODY}x`), await signText(ed25519, BODY)),
    keys: [revoked, ed25519],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'an expired signature beside a good one',
    set: await signedOnce(
      await signText(rsa, BODY, { lifeSeconds: 60 }),
      await signText(ed25519, BODY),
    ),
    keys: [rsa, ed25519],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'an unknown and a weak signature',
    set: await signedOnce(
      await signText(stranger, BODY),
      await signText(rsa, BODY, { hash: openpgp.enums.hash.sha1 }),
    ),
    keys: [rsa],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'a critical notation that nobody knows',
    set: await signedBy(rsa, { criticalNotation: true }),
    keys: [rsa],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'a standalone signature',
    set: await signedBy(rsa, { type: openpgp.enums.signature.standalone }),
    keys: [rsa],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'a signature of bytes in the frame of text',
    set: await signedOnce(await signBytes(rsa, Buffer.from(BODY))),
    keys: [rsa],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'a signature of bytes that ends as the frame ends',
    set: await signedOnce(await signBytes(rsa, Buffer.from(BODY.replace(/\n$/, '')))),
    keys: [rsa],
    code: null,
    gpgvDiffers: FRAME,
  },

  // Beside a good signature, one of another pinned key that is not.
  ...(await Promise.all(
    (
      [
        [
          'of tomorrow',
          await signText(rsa, BODY, { created: new Date(Date.now() + 24 * 3600_000) }),
          rsa,
          null,
        ],
        ['older than its key', await signText(young, BODY, { created: yearsAgo(2) }), young, null],
        [
          'with a critical notation',
          await signText(rsa, BODY, { criticalNotation: true }),
          rsa,
          'SIGNATURE_INVALID',
        ],
        [
          'over nothing',
          await signText(rsa, BODY, { type: openpgp.enums.signature.standalone }),
          rsa,
          'SIGNATURE_INVALID',
          UNJUDGED,
        ],
        [
          'of a subkey that may only encrypt',
          await signText(subkeyOf(encryptionSubkey), BODY),
          encryptionSubkey,
          null,
        ],
        [
          'in SHA3-256',
          await signText(rsa, BODY, { hash: openpgp.enums.hash.sha3_256 }),
          rsa,
          'SIGNATURE_INVALID',
          UNJUDGED,
        ],
        ['in MD5', await signText(rsa, BODY, { hash: openpgp.enums.hash.md5 }), rsa, null],
        ['of RSA with 1024 bits', await signText(weakRsa, BODY), weakRsa, null],
        ['of Ed25519 under its new number', await signText(newEd25519, BODY), newEd25519, null],
      ] as const
    ).map(async ([what, packet, key, code, gpgvDiffers]): Promise<Case> => ({
      name: `one ${what} beside a good one`,
      set: await signedOnce(packet, await signText(ed25519, BODY)),
      keys: [key, ed25519],
      code,
      ...(gpgvDiffers && { gpgvDiffers }),
    })),
  )),

  // The frame of InRelease.
  {
    name: 'no Hash header',
    set: edited(await signedBy(rsa), 'Hash: SHA512\n', ''),
    keys: [rsa],
    code: null,
    gpgvDiffers: FRAME,
  },
  {
    name: 'a Hash header of another hash',
    set: edited(await signedBy(rsa), 'Hash: SHA512', 'Hash: SHA256'),
    keys: [rsa],
    code: null,
    gpgvDiffers: FRAME,
  },
  {
    name: 'two Hash headers',
    set: edited(await signedBy(rsa), 'Hash: SHA512', 'Hash: SHA256\nHash: SHA512'),
    keys: [rsa],
    code: null,
  },
  {
    name: 'another armor header of the text',
    set: edited(await signedBy(rsa), 'Hash: SHA512', 'Suite: evil\nHash: SHA512'),
    keys: [rsa],
    code: null,
    gpgvDiffers: FRAME,
  },
  {
    name: 'NotDashEscaped',
    set: edited(
      await signedBy(rsa),
      'Hash: SHA512',
      'Hash: SHA512\nNotDashEscaped: You need GnuPG to verify this message',
    ),
    keys: [rsa],
    code: null,
    gpgvDiffers: FRAME,
  },
  {
    name: 'a header that begins with a dash',
    set: edited(await signedBy(rsa), 'Hash: SHA512', 'Hash: SHA512\n- Suite: evil'),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
  },
  {
    name: 'blanks behind the first line',
    set: edited(await signedBy(rsa), 'SIGNED MESSAGE-----\n', 'SIGNED MESSAGE----- \t\n'),
    keys: [rsa],
    code: null,
  },
  {
    name: 'an empty line before the block',
    set: edited(await signedBy(rsa), '-----BEGIN PGP SIGNED', '\n-----BEGIN PGP SIGNED'),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: APT_SPLITS,
  },
  {
    name: 'a byte order mark before the block',
    set: edited(await signedBy(rsa), '-----BEGIN PGP SIGNED', '\xef\xbb\xbf-----BEGIN PGP SIGNED'),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
  },
  {
    name: 'an empty line after the block',
    set: edited(await signedBy(rsa), /$/, '\n'),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: APT_SPLITS,
  },
  {
    name: 'no line end after the block',
    set: edited(await signedBy(rsa), /\n$/, ''),
    keys: [rsa],
    code: null,
  },
  {
    name: 'a second signed text behind the first',
    set: inRelease(Buffer.concat([bytesOf(await signedBy(rsa)), bytesOf(await signedBy(rsa))])),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: APT_SPLITS,
  },
  {
    name: 'a second signed text in front of the signature',
    set: edited(
      await signedBy(rsa),
      '-----BEGIN PGP SIGNATURE',
      '-----BEGIN PGP SIGNED MESSAGE-----\n\nSuite: evil\n-----BEGIN PGP SIGNATURE',
    ),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
  },
  {
    name: 'a line of text between two signature blocks',
    set: inRelease(
      clearsigned(
        BODY,
        `${armored(await signText(rsa, BODY))}Suite: evil\n${armored(await signText(ed25519, BODY))}`,
      ),
    ),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: APT_SPLITS,
  },
  {
    name: 'a line that begins with a dash and is not escaped',
    set: edited(await signedText(`${BODY}-X: y\n`), '\n- -X', '\n-X'),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: APT_SPLITS,
  },
  {
    name: 'an escape in front of a line without a dash',
    set: edited(await signedBy(rsa), '\nSuite', '\n- Suite'),
    keys: [rsa],
    code: null,
  },
  {
    name: 'an added line that looks escaped',
    set: edited(await signedBy(rsa), '\nSuite', '\n- Suite: evil\nSuite'),
    keys: [rsa],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'blanks that were added at line ends',
    set: edited(await signedBy(rsa), 'Suite: stable\n', 'Suite: stable \t\n'),
    keys: [rsa],
    code: null,
  },
  {
    name: 'an empty line that was added to the end of the text',
    set: edited(await signedBy(rsa), '\n-----BEGIN PGP SIGNATURE', '\n\n-----BEGIN PGP SIGNATURE'),
    keys: [rsa],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'a NUL in the text',
    set: await signedText(`${BODY}X-Nul: a\0b\n`),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: STRICTER,
    aptDiffers: STRICTER,
  },
  {
    name: 'a CR in a line',
    set: await signedText(`${BODY}X-Cr: a\rb\n`),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: STRICTER,
    aptDiffers: STRICTER,
  },
  {
    name: 'text that is not UTF-8',
    set: await signedText(`${BODY}X-Latin1: Gr\xf6\xdfe\n`, 'latin1'),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: STRICTER,
    aptDiffers: STRICTER,
  },
  {
    name: 'a line of a megabyte',
    set: await signedText(`${BODY}X-Long: ${'x'.repeat(1024 * 1024)}\n`),
    keys: [rsa],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'a signature line of a megabyte',
    set: edited(
      await signedBy(rsa),
      /(PGP SIGNATURE-----\n)(\n)/,
      `$1Comment: ${'x'.repeat(1024 * 1024)}\n$2`,
    ),
    keys: [rsa],
    code: null,
  },

  // The armor of signatures.
  {
    name: 'a comment in the armor',
    set: edited(
      await signedBy(rsa),
      /(PGP SIGNATURE-----\n)(\n)/,
      '$1Version: GnuPG v2\nComment: hello\n$2',
    ),
    keys: [rsa],
    code: null,
  },
  {
    name: 'an armor header without a colon',
    set: edited(await signedBy(rsa), /(PGP SIGNATURE-----\n)(\n)/, '$1hello\n$2'),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
  },
  {
    name: 'the armor of a message',
    set: edited(await signedBy(rsa), /PGP SIGNATURE/g, 'PGP MESSAGE'),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: APT_SPLITS,
  },
  { name: 'a right checksum', set: summed(await signedBy(rsa)), keys: [rsa], code: null },
  {
    name: 'a wrong checksum',
    set: summed(await signedBy(rsa), () => 'AAAA'),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
  },
  {
    name: 'a checksum that is none',
    set: summed(await signedBy(rsa), () => '!!!!'),
    keys: [rsa],
    code: null,
  },
  {
    name: 'no checksum',
    set: edited(await signedBy(rsa), /\n=[^\n]{4}\n-----END/, '\n-----END'),
    keys: [rsa],
    code: null,
  },
  {
    name: 'characters in the armor that are not base64',
    set: edited(await signedBy(rsa), /\n\n(.{10})(?=[^]*-----END)(?![^]*\n\n)/, '\n\n$1!!'),
    keys: [rsa],
    code: null,
  },
  {
    name: 'an empty armor',
    set: edited(await signedBy(rsa), /(PGP SIGNATURE-----\n\n)[^-]*(-----END)/, '$1$2'),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
  },

  {
    name: 'no empty line before the armor',
    set: edited(await signedBy(rsa), /(PGP SIGNATURE-----\n)\n/, '$1'),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    aptDiffers: 'gpgv itself refuses it',
  },
  {
    name: 'blanks in the empty line before the armor',
    set: edited(await signedBy(rsa), /(PGP SIGNATURE-----\n)\n/, '$1 \t\n'),
    keys: [rsa],
    code: null,
  },
  {
    name: 'an armor header without a value',
    set: edited(await signedBy(rsa), /(PGP SIGNATURE-----\n)(\n)/, '$1Comment:\n$2'),
    keys: [rsa],
    code: null,
  },
  {
    name: 'two checksums',
    set: edited(summed(await signedBy(rsa)), /(\n=[^\n]{4})(\n-----END)/, '$1$1$2'),
    keys: [rsa],
    code: null,
  },
  {
    name: 'base64 behind the checksum',
    set: edited(summed(await signedBy(rsa)), /(\n=[^\n]{4})(\n-----END)/, '$1\nAAAA$2'),
    keys: [rsa],
    code: null,
  },

  // Release.gpg.
  {
    name: 'a line of 19,992 bytes',
    set: await signedText(`${BODY}X-L: ${'x'.repeat(19_992 - 5)}\n`),
    keys: [rsa],
    code: null,
  },
  {
    name: 'a line of 20,000 bytes',
    set: await signedText(`${BODY}X-L: ${'x'.repeat(20_000 - 5)}\n`),
    keys: [rsa],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'Release.gpg of bytes over a line of a megabyte',
    set: await pairOver(
      `${BODY}X-Long: ${'x'.repeat(1024 * 1024)}\n`,
      openpgp.enums.signature.binary,
    ),
    keys: [rsa],
    code: null,
  },
  {
    name: 'Release.gpg of text over a line of a megabyte',
    set: await pairOver(
      `${BODY}X-Long: ${'x'.repeat(1024 * 1024)}\n`,
      openpgp.enums.signature.text,
    ),
    keys: [rsa],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'two blocks in Release.gpg',
    set: await pairOf(
      armored(await signBytes(stranger, body)) + armored(await signBytes(rsa, body)),
    ),
    keys: [rsa],
    code: null,
  },
  {
    name: 'the second of two blocks in Release.gpg alone is known',
    set: await pairOf(
      armored(await signBytes(rsa, body)) + armored(await signBytes(stranger, body)),
    ),
    keys: [rsa],
    code: null,
  },
  {
    name: 'two signatures in one block of Release.gpg',
    set: await pairOf(armored(await signBytes(stranger, body), await signBytes(rsa, body))),
    keys: [rsa],
    code: null,
  },
  {
    name: 'a good and a bad block in Release.gpg',
    set: await pairOf(
      armored(await signBytes(rsa, body)) +
        armored(await signBytes(ed25519, Buffer.from('another'))),
    ),
    keys: [rsa, ed25519],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'text before Release.gpg',
    set: await pairOf(`hello\n${armored(await signBytes(rsa, body))}`),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: APT_SPLITS,
  },
  {
    name: 'text after Release.gpg',
    set: await pairOf(`${armored(await signBytes(rsa, body))}hello\n`),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: APT_SPLITS,
  },
  {
    name: 'an empty line after Release.gpg',
    set: await pairOf(`${armored(await signBytes(rsa, body))}\n`),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: APT_SPLITS,
  },
  { name: 'an empty Release.gpg', set: await pairOf(''), keys: [rsa], code: 'SIGNATURE_MALFORMED' },
  {
    name: 'a Release.gpg that is a signed text itself',
    set: await pairOf(String(bytesOf(await signedBy(rsa)))),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
  },
  {
    name: 'CRLF in Release.gpg',
    set: await pairOf(armored(await signBytes(rsa, body)).replaceAll('\n', '\r\n')),
    keys: [rsa],
    code: null,
  },
  {
    name: 'Release.gpg of text over lines that end in CRLF',
    set: {
      ...(await pair(rsa, BODY, { type: openpgp.enums.signature.text })),
      release: Buffer.from(BODY.replaceAll('\n', '\r\n')),
    },
    keys: [rsa],
    code: null,
  },
  {
    name: 'Release.gpg of bytes over lines that end in CRLF',
    set: await pair(rsa, BODY.replaceAll('\n', '\r\n')),
    keys: [rsa],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'a blank that was added to Release',
    set: await pair(rsa, BODY.replace('Suite: stable', 'Suite: stable ')),
    keys: [rsa],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'a wrong checksum in Release.gpg',
    set: await pairOf(withChecksum(armored(await signBytes(rsa, body)), () => 'AAAA')),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
  },
];

/** Signed by GnuPG, with algorithms that it alone makes. */
function gnupgCases(): Case[] {
  const gnupg = openGnupg();
  try {
    for (const algorithm of ['rsa3072', 'ed25519', 'dsa2048']) gnupg.makeKey(algorithm, algorithm);
    const keys = gnupg.publicKeys('rsa3072', 'ed25519');
    const clear = (...options: string[]): ReleaseSet =>
      inRelease(gnupg.sign(BODY, '--clearsign', ...options));
    const detached = (...options: string[]): ReleaseSet => ({
      ...nothing,
      release: body,
      releaseGpg: gnupg.sign(BODY, '--detach-sign', ...options),
    });
    return [
      { name: 'GnuPG: RSA in clear', set: clear('-u', 'rsa3072'), keys, code: null },
      { name: 'GnuPG: Ed25519 in clear', set: clear('-u', 'ed25519'), keys, code: null },
      {
        name: 'GnuPG: two signers in clear',
        set: clear('-u', 'ed25519', '-u', 'rsa3072'),
        keys,
        code: null,
      },
      {
        name: 'GnuPG: a comment in the armor',
        set: clear('-u', 'rsa3072', '--comment', 'hello', '--emit-version'),
        keys,
        code: null,
      },
      {
        name: 'GnuPG: detached, armored',
        set: detached('-u', 'rsa3072', '--armor'),
        keys,
        code: null,
      },
      {
        name: 'GnuPG: detached, of text',
        set: detached('-u', 'ed25519', '--armor', '--textmode'),
        keys,
        code: null,
      },
      {
        name: 'GnuPG: detached, two signers',
        set: detached('-u', 'ed25519', '-u', 'rsa3072', '--armor'),
        keys,
        code: null,
      },
      {
        name: 'GnuPG: an inline message as Release.gpg',
        set: {
          ...nothing,
          release: body,
          releaseGpg: gnupg.sign(BODY, '--sign', '--armor', '-u', 'rsa3072'),
        },
        keys,
        code: 'SIGNATURE_MALFORMED',
      },
      {
        name: 'GnuPG: SHA-1',
        set: clear('-u', 'rsa3072', '--digest-algo', 'SHA1'),
        keys,
        code: 'SIGNATURE_INVALID',
      },
      {
        name: 'GnuPG: not dash-escaped',
        set: inRelease(
          gnupg.sign(`${BODY}-X: y\n`, '--clearsign', '--not-dash-escaped', '-u', 'rsa3072'),
        ),
        keys,
        code: 'SIGNATURE_MALFORMED',
        gpgvDiffers: APT_SPLITS,
      },
      {
        name: 'GnuPG: DSA',
        set: clear('-u', 'dsa2048'),
        keys: gnupg.publicKeys('dsa2048'),
        code: 'SIGNATURE_INVALID',
        gpgvDiffers: DSA,
        aptDiffers: DSA,
      },
    ];
  } finally {
    gnupg.close();
  }
}
if (hasGnupg()) cases.push(...gnupgCases());

const keysOf = ({ keys }: Case): Uint8Array =>
  keys instanceof Uint8Array ? keys : keyringOf(...keys);
const folder = mkdtempSync(join(tmpdir(), 'debgeo-trust-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/**
 * As apt reads gpgv: at least one good signature whose hash it trusts, and none that is bad or has
 * expired (methods/gpgv.cc).
 */
function gpgvAccepts(one: Case): boolean {
  const path = (name: string, bytes: Uint8Array | null): string => {
    writeFileSync(join(folder, name), bytes ?? '');
    return join(folder, name);
  };
  const { set } = one;
  const files =
    set.inRelease === null
      ? [path('Release.gpg', set.releaseGpg), path('Release', set.release)]
      : [path('InRelease', set.inRelease)];
  const { stdout } = spawnSync('gpgv', [
    '--homedir',
    folder,
    '--keyring',
    path('keyring.gpg', keysOf(one)),
    '--status-fd',
    '1',
    ...files,
  ]);
  const status = String(stdout).split('\n');
  const good = status.some((line) => line.startsWith('[GNUPG:] GOODSIG '));
  const strong = status.some(
    (line) =>
      line.startsWith('[GNUPG:] VALIDSIG ') && !['1', '2', '3'].includes(line.split(' ')[9] ?? ''),
  );
  const refused = status.some((line) => /^\[GNUPG:\] (BADSIG|EXPSIG) /.test(line));
  return good && strong && !refused;
}

/** One apt with one source per case: what it accepts are those whose package it then knows. */
function aptAccepts(): ReadonlySet<Case> {
  const root = join(folder, 'apt');
  const write = (path: string, bytes: Uint8Array | string | null): void => {
    if (bytes === null) return;
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), bytes);
  };
  const sources = cases.map((one, index) => {
    const { set, keyring } = one;
    write(`${index}/dists/stable/InRelease`, set.inRelease);
    write(`${index}/dists/stable/Release`, set.release);
    write(`${index}/dists/stable/Release.gpg`, set.releaseGpg);
    write(`${index}/dists/stable/main/binary-amd64/Packages`, PACKAGES);
    const pinned = `${index}/keyring.${keyring === undefined ? 'gpg' : 'asc'}`;
    write(pinned, keyring ?? keysOf(one));
    return `deb [signed-by=${root}/${pinned}] file:${root}/${index} stable main\n`;
  });
  write('etc/sources.list', sources.join(''));
  for (const place of ['etc/parts', 'lists/partial', 'cache/archives/partial'])
    mkdirSync(join(root, place), { recursive: true });
  write('status', '');
  write(
    'apt.conf',
    `Dir "${root}"; Dir::Etc "${root}/etc"; Dir::Etc::main "apt.conf"; Dir::Etc::parts "${root}/etc/parts"; Dir::Etc::sourceparts "${root}/etc/parts";
Dir::Etc::trustedparts "${root}/etc/parts"; Dir::State "${root}"; Dir::State::lists "${root}/lists"; Dir::State::status "${root}/status"; Dir::Cache "${root}/cache";
Dir::Bin::methods "/usr/lib/apt/methods"; APT::Architecture "amd64"; APT::Architectures { "amd64"; }; APT::Sandbox::User "root"; APT::Update::Error-Mode "any";
Acquire::Check-Date "true"; Acquire::Check-Valid-Until "true"; Acquire::Languages "none";\n`,
  );
  const env = { ...process.env, APT_CONFIG: join(root, 'apt.conf'), LC_ALL: 'C' };
  spawnSync('apt-get', ['update'], { env }); // fails: some sources are refused
  const known = execFileSync('apt-cache', ['madison', 'hello'], { env, encoding: 'utf8' });
  return new Set(
    [...known.matchAll(/file:\S*\/(\d+) stable\/main/g)].map(([, index]) => cases[Number(index)]!),
  );
}

describe('trust', () => {
  it('is judged in enough cases', () => {
    assert.ok(cases.length >= 100, `${cases.length}`);
    assert.equal(new Set(cases.map(({ name }) => name)).size, cases.length, 'each its name');
  });

  for (const one of cases) {
    const { name, set, code } = one;
    it(code === null ? `accepts ${name}` : `says ${code} for ${name}`, async () => {
      const verdict = verifyReleaseSet(set, one.keyring ?? keysOf(one), new Date());

      if (code === null) await verdict;
      else await rejectsWith(verdict, code);
    });
  }
});

const needsGpgv =
  spawnSync('gpgv', ['--version']).status === 0 ? false : 'needs gpgv: apt-get install gpgv';
describe('gpgv, read as apt reads it', { skip: needsGpgv }, () => {
  for (const one of cases) {
    const { name, code, gpgvDiffers } = one;
    it(
      gpgvDiffers === undefined ? `says the same of ${name}` : `differs on ${name}: ${gpgvDiffers}`,
      () => {
        assert.equal(gpgvAccepts(one), (code === null) === (gpgvDiffers === undefined));
      },
    );
  }
});

const version = await findApt();
const listed = version?.startsWith('apt 2.6.') ?? false;
describe('apt', { skip: needsApt }, () => {
  const accepted = needsApt === false ? aptAccepts() : new Set();
  for (const one of cases) {
    const { name, code, aptDiffers } = one;
    const skip = aptDiffers !== undefined && !listed && `listed for apt 2.6, this is ${version}`;
    it(
      aptDiffers === undefined ? `says the same of ${name}` : `differs on ${name}: ${aptDiffers}`,
      { skip },
      () => {
        assert.equal(accepted.has(one), (code === null) === (aptDiffers === undefined));
      },
    );
  }
});
