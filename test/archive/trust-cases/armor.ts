/** The armor of signatures, in InRelease and in Release.gpg. */
import { rsa, signedBy } from '../release-sets.ts';
import { armored, signBytes, withChecksum } from '../sign.ts';
import { APT_SPLITS, body, type Case, edited, pairOf, summed } from './case.ts';

const TOLERANT = 'GnuPG passes over it, and OpenPGP.js reads such armors in other ways';
/** The first ten characters of base64. */
const IN_BASE64 = /(PGP SIGNATURE-----\n\n.{10})/;

export const armorCases: readonly Case[] = [
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
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: TOLERANT,
    aptDiffers: TOLERANT,
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
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: TOLERANT,
    aptDiffers: TOLERANT,
  },
  {
    name: 'an empty armor',
    set: edited(await signedBy(rsa), /(PGP SIGNATURE-----\n\n)[^-]*(-----END)/, '$1$2'),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
  },

  // What passed OpenPGP.js, and no apt.
  {
    name: 'a checksum of one character',
    set: summed(await signedBy(rsa), () => 'w'),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
  },
  {
    name: 'a checksum of three characters',
    set: summed(await signedBy(rsa), () => 'xyd'),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
  },
  {
    name: 'a checksum with a character that is none of base64',
    set: summed(await signedBy(rsa), () => 'Ac&T'),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
  },
  {
    name: 'text behind a checksum of three characters',
    set: summed(await signedBy(rsa), () => 'xyd\n\nY'),
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
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: TOLERANT,
    aptDiffers: TOLERANT,
  },
  {
    name: 'base64 behind the checksum',
    set: edited(summed(await signedBy(rsa)), /(\n=[^\n]{4})(\n-----END)/, '$1\nAAAA$2'),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: TOLERANT,
    aptDiffers: TOLERANT,
  },
  {
    name: 'a checksum of five characters',
    set: summed(await signedBy(rsa), (right) => `${right}A`),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: TOLERANT,
    aptDiffers: TOLERANT,
  },
  {
    name: 'an empty line in the base64',
    set: edited(await signedBy(rsa), IN_BASE64, '$1\n\n'),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: TOLERANT,
    aptDiffers: TOLERANT,
  },
  {
    name: 'an empty line before the checksum',
    set: edited(summed(await signedBy(rsa)), /(\n=[^\n]{4}\n-----END)/, '\n$1'),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: TOLERANT,
    aptDiffers: TOLERANT,
  },
  {
    name: 'an empty line behind the checksum',
    set: edited(summed(await signedBy(rsa)), /(\n=[^\n]{4}\n)(-----END)/, '$1\n$2'),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: TOLERANT,
    aptDiffers: TOLERANT,
  },
  {
    name: 'a blank within the base64',
    set: edited(await signedBy(rsa), IN_BASE64, '$1 '),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: TOLERANT,
    aptDiffers: TOLERANT,
  },
  {
    name: 'a blank before the base64',
    set: edited(await signedBy(rsa), /(PGP SIGNATURE-----\n\n)/, '$1 '),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: TOLERANT,
    aptDiffers: TOLERANT,
  },
  {
    name: 'blanks behind a line of base64',
    set: edited(await signedBy(rsa), /(PGP SIGNATURE-----\n\n.{60})/, '$1 \t\r'),
    keys: [rsa],
    code: null,
  },
  {
    name: 'lines of base64 of another length',
    set: edited(await signedBy(rsa), IN_BASE64, '$1\n'),
    keys: [rsa],
    code: null,
  },
  {
    name: 'padding within the base64',
    set: edited(await signedBy(rsa), IN_BASE64, '$1=='),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
  },
  {
    name: 'padding on a line of its own',
    set: edited(summed(await signedBy(rsa)), /(=+)(\n=[^\n]{4}\n-----END)/, '\n$1$2'),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: TOLERANT,
    aptDiffers: TOLERANT,
  },
  {
    name: 'no padding and no checksum',
    set: edited(await signedBy(rsa), /=+\n=[^\n]{4}\n-----END/, '\n-----END'),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: TOLERANT,
    aptDiffers: TOLERANT,
  },
  {
    name: 'an armor header with a tab behind its colon',
    set: edited(await signedBy(rsa), /(PGP SIGNATURE-----\n)(\n)/, '$1Comment:\t\n$2'),
    keys: [rsa],
    code: null,
    gpgvDiffers: 'apt takes the blanks at line ends away',
  },
  {
    name: 'an armor header with a tab behind its colon in Release.gpg',
    set: await pairOf(
      armored(await signBytes(rsa, body)).replace(/(SIGNATURE-----\n)(\n)/, '$1Comment:\t\n$2'),
    ),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
  },
  {
    name: 'a head of 20,000 blanks in Release.gpg',
    set: await pairOf(
      armored(await signBytes(rsa, body)).replace(/(BEGIN.*)/, `$1${' '.repeat(20_000)}`),
    ),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
  },
  {
    name: 'a checksum of one character in Release.gpg',
    set: await pairOf(withChecksum(armored(await signBytes(rsa, body)), () => 'w')),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
  },
];
