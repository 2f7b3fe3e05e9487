/** The frame of InRelease. */
import { BODY, ed25519, inRelease, rsa, signedBy } from '../release-sets.ts';
import { armored, clearsigned, signText } from '../sign.ts';
import { APT_SPLITS, bytesOf, type Case, edited, FRAME, signedText, STRICTER } from './case.ts';

export const frameCases: readonly Case[] = [
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
        `${armored(await signText(rsa, BODY))}Suite: evil\n` +
          armored(await signText(ed25519, BODY)),
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
];
