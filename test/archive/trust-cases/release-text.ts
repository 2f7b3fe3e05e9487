/** Release as apt reads it, behind a signature that is good. */
import type { ErrorCode } from '../../../src/domain/errors.ts';
import { BODY, rsa } from '../release-sets.ts';
import { type Case, signedText } from './case.ts';

const GPGV = 'gpgv does not read Release';
const READERS_DIFFER = 'stricter on purpose: readers of control data differ from each other there';
/** The line of the one index. */
const ENTRY = /^ ([0-9a-f]{64})(.*)$/m;

interface Text {
  readonly name: string;
  readonly text: string;
  readonly code: ErrorCode | null;
  readonly aptDiffers?: string;
}

const texts: readonly Text[] = [
  {
    name: 'an empty line before Release',
    text: `\n${BODY}`,
    code: 'RELEASE_MALFORMED',
    aptDiffers: READERS_DIFFER,
  },
  { name: 'two empty lines before Release', text: `\n\n${BODY}`, code: 'RELEASE_MALFORMED' },
  { name: 'empty lines behind Release', text: `${BODY}\n\n`, code: null },
  {
    name: 'a second stanza in Release',
    text: `${BODY}\nX-Suite: other\n`,
    code: 'RELEASE_MALFORMED',
    aptDiffers: READERS_DIFFER,
  },
  {
    name: 'a blank before the colon of SHA256',
    text: BODY.replace('SHA256:', 'SHA256 :'),
    code: 'RELEASE_MALFORMED',
    aptDiffers: READERS_DIFFER,
  },
  { name: 'a digest in capitals', text: capitals(BODY), code: 'RELEASE_MALFORMED' },
  { name: 'SHA256 in lower case', text: BODY.replace('SHA256:', 'sha256:'), code: null },
  {
    name: 'a table that stands twice',
    text: `${BODY}SHA256:\n${ENTRY.exec(BODY)![0]}\n`,
    code: 'RELEASE_MALFORMED',
    aptDiffers: READERS_DIFFER,
  },
  {
    name: 'an empty table behind the table',
    text: `${BODY}sha256:\n ${'0'.repeat(64)} 1 main/binary-amd64/Packages\n`,
    code: 'RELEASE_MALFORMED',
  },
  {
    name: 'the one index under another name',
    text: BODY.replace(' main/', ' ./main/'),
    code: 'RELEASE_MALFORMED',
  },
  {
    name: 'an index under another name, too',
    text: `${BODY}${ENTRY.exec(BODY)![0].replace(' main/', ' ./main/')}\n`,
    code: null,
  },
  {
    name: 'a Date without the day of the week',
    text: BODY.replace('Date: Thu, ', 'Date: '),
    code: 'RELEASE_MALFORMED',
    aptDiffers: 'apt warns and goes on as if there were no Date',
  },
  {
    name: 'a Valid-Until without the day of the week',
    text: `${BODY}Valid-Until: 01 Jan 2099 00:00:00 UTC\n`,
    code: 'RELEASE_MALFORMED',
  },
  {
    name: 'a Valid-Until on a day of the week that is none',
    text: `${BODY}Valid-Until: Xyz, 01 Jan 2099 00:00:00 UTC\n`,
    code: 'RELEASE_MALFORMED',
  },
  {
    name: 'a Valid-Until',
    text: `${BODY}Valid-Until: Thu, 01 Jan 2099 00:00:00 UTC\n`,
    code: null,
  },
  {
    name: 'a line that is no field',
    text: BODY.replace('Suite:', 'hello\nSuite:'),
    code: 'RELEASE_MALFORMED',
    aptDiffers: READERS_DIFFER,
  },
  {
    name: 'a comment',
    text: BODY.replace('SHA256:', '# a: comment\nSHA256:'),
    code: 'RELEASE_MALFORMED',
    aptDiffers: READERS_DIFFER,
  },
  {
    name: 'a line that begins with VT',
    text: BODY.replace('SHA256:', '\vX: y\nSHA256:'),
    code: 'RELEASE_MALFORMED',
    aptDiffers: READERS_DIFFER,
  },
];

function capitals(body: string): string {
  return body.replace(
    ENTRY,
    (_, digest: string, rest: string) => ` ${digest.toUpperCase()}${rest}`,
  );
}

export const releaseTextCases: readonly Case[] = await Promise.all(
  texts.map(async ({ text, ...one }) => ({
    ...one,
    set: await signedText(text),
    keys: [rsa],
    ...(one.code === null ? {} : { gpgvDiffers: GPGV }),
  })),
);
