/** Release.gpg beside Release. */
import * as openpgp from 'openpgp';

import { BODY, ed25519, pair, rsa, signedBy, stranger } from '../release-sets.ts';
import { armored, signBytes, withChecksum } from '../sign.ts';
import { APT_SPLITS, body, bytesOf, type Case, pairOf, pairOver, signedText } from './case.ts';

export const releaseGpgCases: readonly Case[] = [
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
