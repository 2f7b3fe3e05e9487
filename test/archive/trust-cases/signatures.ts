/** Hashes and kinds of signatures, alone and beside a good one. */
import * as openpgp from 'openpgp';

import {
  BODY,
  ed25519,
  encryptionSubkey,
  expired,
  inRelease,
  revoked,
  rsa,
  signedBy,
  stranger,
  subkeyOf,
  weakRsa,
  young,
} from '../release-sets.ts';
import { armored, clearsigned, signBytes, signText, yearsAgo } from '../sign.ts';
import { type Case, FRAME, newEd25519, signedOnce, UNJUDGED } from './case.ts';

export const signatureCases: readonly Case[] = [
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
    name: 'a critical notation that no program knows',
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
];
