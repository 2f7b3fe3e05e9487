/** What a Release, its signatures and its indices may say: cases that need no more than bytes. */
import { gzipSync } from 'node:zlib';

import type { ErrorCode } from '../../../src/domain/errors.ts';
import { LIMITS } from '../../../src/domain/limits.ts';
import {
  dateOf,
  PACKAGES,
  releaseOf,
  releaseText,
  sha256,
  signed,
  stanza,
  SUITE_FOLDER,
  type Hand,
  type Overlay,
} from './hostile-archive.ts';
import { casesOf, type HostileCase } from './hostile-case.ts';

const HOUR_MS = 3_600_000;
const HTML = Buffer.from('<!DOCTYPE html><html><body><h1>It works!</h1></body></html>\n');

const inRelease = (text: string | Buffer): Promise<Overlay> =>
  Promise.resolve({ [`${SUITE_FOLDER}/InRelease`]: Buffer.from(text) });
const later = (hand: Hand, ms: number): string => dateOf(new Date(hand.date.getTime() + ms));
const good = (hand: Hand): string => releaseText(hand, { [PACKAGES]: stanza({}) });
const saying = async (hand: Hand, change: Parameters<typeof releaseText>[2]): Promise<Overlay> =>
  releaseOf(hand, { [PACKAGES]: stanza({}) }, change);
const detached = async (hand: Hand, text: string, signedText: string | null): Promise<Overlay> => ({
  [`${SUITE_FOLDER}/InRelease`]: null,
  [`${SUITE_FOLDER}/Release`]: Buffer.from(text),
  [`${SUITE_FOLDER}/Release.gpg`]:
    signedText === null ? null : Buffer.from(await hand.key.signDetached(signedText)),
});

const SIGNATURES = casesOf('signature', [
  ['nothing is there', 'RELEASE_MISSING', async () => ({ [`${SUITE_FOLDER}/InRelease`]: null })],
  ['unsigned: Release alone', 'RELEASE_UNSIGNED', (hand) => detached(hand, good(hand), null)],
  ['unsigned: InRelease without a frame', 'SIGNATURE_MALFORMED', (hand) => inRelease(good(hand))],
  [
    'signed by a stranger',
    'SIGNATURE_UNKNOWN_KEY',
    (hand) => signed(hand, good(hand), hand.stranger),
  ],
  [
    'one letter changed',
    'SIGNATURE_INVALID',
    (hand) => inRelease(hand.inRelease.replace('Suite: bookworm', 'Suite: b00kworm')),
  ],
  [
    'Release.gpg of another Release',
    'SIGNATURE_INVALID',
    (hand) => detached(hand, good(hand), `${good(hand)}Label: x\n`),
  ],
  [
    'cut in half',
    'SIGNATURE_MALFORMED',
    (hand) => inRelease(hand.inRelease.slice(0, hand.inRelease.length / 2)),
  ],
  [
    'cut in the signature',
    'SIGNATURE_MALFORMED',
    (hand) => inRelease(hand.inRelease.slice(0, -60)),
  ],
  ['empty', 'SIGNATURE_MALFORMED', () => inRelease('')],
  ['HTML instead of InRelease', 'SIGNATURE_MALFORMED', () => inRelease(HTML)],
  [
    'text before the signed block',
    'SIGNATURE_MALFORMED',
    (hand) => inRelease(`Suite: bookworm\n\n${hand.inRelease}`),
  ],
  [
    'text behind the signed block',
    'SIGNATURE_MALFORMED',
    (hand) => inRelease(`${hand.inRelease}Suite: bookworm\n`),
  ],
  [
    'a second signed block',
    'SIGNATURE_MALFORMED',
    (hand) => inRelease(`${hand.inRelease}${hand.inRelease}`),
  ],
  ['signed, and no Release', 'RELEASE_MALFORMED', (hand) => signed(hand, 'Good morning\n')],
  ['an older release', 'RELEASE_ROLLBACK', (hand) => saying(hand, { date: later(hand, -HOUR_MS) })],
  [
    'a release of tomorrow',
    'RELEASE_FUTURE',
    (hand) => saying(hand, { date: later(hand, 24 * HOUR_MS) }),
  ],
  [
    'an expired release',
    'RELEASE_EXPIRED',
    (hand) => saying(hand, { fields: [`Valid-Until: ${later(hand, -60_000)}`] }),
  ],
  ['no Date', 'RELEASE_UNDATED', (hand) => saying(hand, { date: null })],
]);

const listedAs = async (hand: Hand, listed: Buffer, served: Buffer | null): Promise<Overlay> => ({
  ...(await releaseOf(hand, { [PACKAGES]: listed })),
  [`${SUITE_FOLDER}/${PACKAGES}`]: served,
});

const INDICES = casesOf('index', [
  [
    'Packages of the same length differs',
    'INDEX_MISMATCH',
    (hand) => listedAs(hand, stanza({}), stanza({ Version: '2.0' })),
  ],
  [
    'Packages ends early',
    'INDEX_MISMATCH',
    (hand) => listedAs(hand, stanza({}), stanza({}).subarray(0, 20)),
  ],
  [
    'Packages goes on',
    'INDEX_MISMATCH',
    (hand) => listedAs(hand, stanza({}), Buffer.concat([stanza({}), stanza({})])),
  ],
  ['HTML instead of Packages', 'INDEX_MISMATCH', (hand) => listedAs(hand, stanza({}), HTML)],
  ['no variant of Packages is there', 'INDEX_MISSING', (hand) => listedAs(hand, stanza({}), null)],
  [
    'Packages is HTML, and listed so',
    'INDEX_MALFORMED',
    (hand) => releaseOf(hand, { [PACKAGES]: HTML }),
  ],
  [
    'Packages.gz ends early, and is listed so',
    'INDEX_MALFORMED',
    (hand) => releaseOf(hand, { [`${PACKAGES}.gz`]: gzipSync(stanza({})).subarray(0, -9) }),
  ],
  [
    'Packages.gz holds another index than Packages',
    'INDEX_CONTRADICTION',
    (hand) =>
      releaseOf(hand, {
        [PACKAGES]: stanza({}),
        [`${PACKAGES}.gz`]: gzipSync(stanza({ Version: '2.0' })),
      }),
  ],
]);

const FILENAMES: readonly (readonly [name: string, filename: string, code?: ErrorCode])[] = [
  ['..', 'pool/../../../escaped.deb'],
  ['absolute', '/etc/escaped.deb'],
  ['encoded ..', 'pool/%2e%2e/%2e%2e/escaped.deb'],
  ['encoded slash', 'pool/..%2F..%2Fescaped.deb'],
  ['.. encoded twice', 'pool/%252e%252e/escaped.deb'],
  ['backslash', 'pool\\..\\escaped.deb'],
  ['NUL', 'pool/a.deb\0.txt'],
  ['a control character', 'pool/a\x1b[2J.deb'],
  ['a C1 control character', 'pool/a\xc2\x85.deb'],
  ['not UTF-8', 'pool/\xff\xfe.deb'],
  ['an overlong encoding of /', 'pool/..\xc0\xaf..\xc0\xafescaped.deb'],
  ['a query', 'pool/a.deb?comp=metadata'],
  ['a segment that ends in a dot', 'pool/a./b.deb'],
  ['into dists/', 'dists/bookworm/InRelease'],
  ['into Dists/', 'Dists/bookworm/InRelease'],
  ['into .debgeo/', '.debgeo/escaped'],
  ['a by-hash folder', 'sub/by-hash/SHA256/0'],
  ['a URL', 'http://example.org/y.deb'],
  ['a URL without a scheme', '//example.org/y.deb'],
  ['over-long', `pool/${'a'.repeat(LIMITS.pathBytes)}.deb`],
  ['a folder', 'pool/a/'],
  ['./, which apt could not read', './pool/a.deb', 'PATH_UNREADABLE'],
];

const twins = (hand: Hand, one: string, other: string): Promise<Overlay> =>
  releaseOf(hand, {
    [PACKAGES]: Buffer.concat([
      stanza({ Filename: one }),
      stanza({ Filename: other, SHA256: '1'.repeat(64) }),
    ]),
  });
const listing = (hand: Hand, ...paths: readonly string[]): Promise<Overlay> =>
  saying(hand, {
    lines: paths.map((path, position) => ` ${String(position).repeat(64)} 5 ${path}`),
  });
const sources = (hand: Hand, text: string): Promise<Overlay> =>
  releaseOf(hand, {
    [PACKAGES]: stanza({}),
    'main/source/Sources': Buffer.from(`Package: hostile\n${text}`, 'latin1'),
  });
const fileOfSource = (name: string): string => `Checksums-Sha256:\n ${'0'.repeat(64)} 1 ${name}\n`;

const PATHS = casesOf('path', [
  ...FILENAMES.map(
    ([name, filename, code = 'HOSTILE_PATH']) =>
      [
        `Filename: ${name}`,
        code,
        (hand: Hand) => releaseOf(hand, { [PACKAGES]: stanza({ Filename: filename }) }),
      ] as const,
  ),
  [
    'Directory: ..',
    'HOSTILE_PATH',
    (hand) => sources(hand, `Directory: ../../x\n${fileOfSource('a.dsc')}`),
  ],
  [
    'a file of Sources: ..',
    'HOSTILE_PATH',
    (hand) => sources(hand, `Directory: pool/x\n${fileOfSource('../../../../a.dsc')}`),
  ],
  ['Release lists ..', 'HOSTILE_PATH', (hand) => listing(hand, '../../../main/Contents-amd64')],
  [
    'Release lists an absolute path',
    'HOSTILE_PATH',
    (hand) => listing(hand, '/etc/Contents-amd64'),
  ],
  [
    'Release lists the InRelease of another suite',
    'HOSTILE_PATH',
    (hand) => listing(hand, 'updates/InRelease'),
  ],
  [
    'Release lists a by-hash file',
    'HOSTILE_PATH',
    (hand) => listing(hand, 'main/by-hash/SHA256/0'),
  ],
  [
    'two that differ in case only',
    'PATH_AMBIGUOUS',
    (hand) => twins(hand, 'pool/a/Hostile.deb', 'pool/a/hostile.deb'),
  ],
  [
    'two that differ in normalisation only',
    'PATH_AMBIGUOUS',
    (hand) => twins(hand, 'pool/a/\xc3\xa9.deb', 'pool/a/e\xcc\x81.deb'),
  ],
  [
    'Release lists two that differ in case only',
    'PATH_AMBIGUOUS',
    (hand) => listing(hand, 'main/Contents-amd64', 'main/contents-amd64'),
  ],
]);

const pool = (hand: Hand, fields: Readonly<Record<string, string | null>>): Promise<Overlay> =>
  releaseOf(hand, { [PACKAGES]: stanza(fields) });
const line = (hand: Hand, text: string): Promise<Overlay> => saying(hand, { lines: [` ${text}`] });
const DIGEST = '0'.repeat(64);

const SIZES = casesOf('size', [
  ['negative, in Packages', 'INDEX_MALFORMED', (hand) => pool(hand, { Size: '-1' })],
  ['huge, in Packages', 'LIMIT_EXCEEDED', (hand) => pool(hand, { Size: '999999999999999' })],
  [
    'beyond all numbers, in Packages',
    'INDEX_MALFORMED',
    (hand) => pool(hand, { Size: '9'.repeat(40) }),
  ],
  ['no number, in Packages', 'INDEX_MALFORMED', (hand) => pool(hand, { Size: '1e3' })],
  ['missing, in Packages', 'INDEX_MALFORMED', (hand) => pool(hand, { Size: null })],
  [
    'missing, in Sources',
    'INDEX_MALFORMED',
    (hand) => sources(hand, `Directory: pool\nChecksums-Sha256:\n ${DIGEST} a.dsc\n`),
  ],
  [
    'negative, in Release',
    'RELEASE_MALFORMED',
    (hand) => line(hand, `${DIGEST} -1 main/Contents-amd64`),
  ],
  [
    'huge, in Release',
    'LIMIT_EXCEEDED',
    (hand) => line(hand, `${DIGEST} 999999999999999 main/Contents-amd64`),
  ],
  [
    'missing, in Release',
    'RELEASE_MALFORMED',
    (hand) => line(hand, `${DIGEST} main/Contents-amd64`),
  ],
]);

const DIGESTS = casesOf('digest', [
  ['short, in Packages', 'INDEX_MALFORMED', (hand) => pool(hand, { SHA256: '0'.repeat(63) })],
  ['missing, in Packages', 'INDEX_MALFORMED', (hand) => pool(hand, { SHA256: null })],
  [
    'MD5 alone, in Packages',
    'INDEX_MALFORMED',
    (hand) => pool(hand, { SHA256: null, MD5sum: '0'.repeat(32) }),
  ],
  [
    'twice in one stanza',
    'INDEX_MALFORMED',
    (hand) => pool(hand, { SHA256: `${DIGEST}\nSHA256: ${'1'.repeat(64)}` }),
  ],
  [
    'two for one path, in Packages',
    'INDEX_CONTRADICTION',
    (hand) => twins(hand, 'pool/a.deb', 'pool/a.deb'),
  ],
  [
    'two for one path, in Packages and Sources',
    'INDEX_CONTRADICTION',
    (hand) => sources(hand, `Directory: pool\nChecksums-Sha256:\n ${sha256('other')} 1 h.deb\n`),
  ],
  [
    'short, in Release',
    'RELEASE_MALFORMED',
    (hand) => line(hand, `${'0'.repeat(40)} 5 main/Contents-amd64`),
  ],
  ['missing, in Release', 'RELEASE_MALFORMED', (hand) => line(hand, '5 main/Contents-amd64')],
  [
    'MD5 alone, in Release',
    'RELEASE_MALFORMED',
    (hand) => saying(hand, { lines: ['MD5Sum:', ` ${'0'.repeat(32)} 5 main/Contents-amd64`] }),
  ],
  [
    'two for one path, in Release',
    'INDEX_CONTRADICTION',
    (hand) => listing(hand, 'main/Contents-amd64', 'main/Contents-amd64'),
  ],
]);

export const HOSTILE_RELEASES: readonly HostileCase[] = [
  ...SIGNATURES,
  ...INDICES,
  ...PATHS,
  ...SIZES,
  ...DIGESTS,
];
