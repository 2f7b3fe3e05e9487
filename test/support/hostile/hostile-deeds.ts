/**
 * What an archive may do besides saying something wrong: send without end, lead elsewhere, change
 * meanwhile, and not have the files that it names.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { createZstdCompress, gzipSync } from 'node:zlib';

import type { ErrorCode } from '../../../src/domain/errors.ts';
import { LIMITS } from '../../../src/domain/limits.ts';
import { compress } from '../../../src/made-archive/compress.ts';
import {
  PACKAGES,
  releaseOf,
  releaseText,
  sha256,
  signed,
  stanza,
  SUITE_FOLDER,
  type Hand,
  type Laid,
  type Overlay,
} from './hostile-archive.ts';
import { casesOf, type HostileCase } from './hostile-case.ts';

const MiB = 1024 * 1024;

/**
 * Bounds of the indices, so that each bomb goes off within a second; the times of the cases of
 * slowness are those of slowIs.
 */
export const SMALL_INDICES = {
  ...LIMITS,
  snapshotNamings: 200_000,
  decompressedBytesUnlisted: 64 * MiB,
  snapshotIndexBytes: 8 * 1024 * MiB,
};
export const SLOW_IS = { bytesPerSecondMin: 1_000, rateWindowMs: 500 };

const IN_RELEASE = `${SUITE_FOLDER}/InRelease`;
const repeat = (bytes: Buffer, times: number): Buffer =>
  Buffer.concat(Array.from({ length: times }, () => bytes));
/** What Release says of the uncompressed index; it is not there. */
const uncompressed = (size: number): string => ` ${'0'.repeat(64)} ${size} ${PACKAGES}`;
/** Lines of a field that no reader wants, none of them long. */
const text = (bytes: number): Buffer =>
  repeat(Buffer.from(`X: ${'x'.repeat(1020)}\n`), bytes / 1024);

/** 1 GiB of lines; gzip and xz may be many streams one after the other, zstd may not. */
const BOMBS = {
  gz: async () => repeat(gzipSync(text(8 * MiB)), 128),
  xz: async () => repeat(compress(text(8 * MiB), 'xz'), 128),
  zst: () => buffer(Readable.from(Array<Buffer>(1024).fill(text(MiB))).pipe(createZstdCompress())),
};
const bomb = async (
  hand: Hand,
  compression: keyof typeof BOMBS,
  lines: readonly string[] = [],
): Promise<Overlay> =>
  releaseOf(hand, { [`${PACKAGES}.${compression}`]: await BOMBS[compression]() }, { lines });
/** 100 times 100,000: the same stanza is the cheapest to make and the longest to read. */
const tenMillionStanzas = (): Buffer => repeat(gzipSync(repeat(stanza({}), 100_000)), 100);

const BULK = casesOf('bulk', [
  ...(['gz', 'xz', 'zst'] as const).flatMap((compression) => [
    [
      `a bomb of ${compression}`,
      'LIMIT_EXCEEDED',
      (hand: Hand) => bomb(hand, compression),
    ] as const,
    [
      `a bomb of ${compression}, of which Release says that it is small`,
      'INDEX_CONTRADICTION',
      (hand: Hand) => bomb(hand, compression, [uncompressed(1_000)]),
    ] as const,
  ]),
  [
    'ten million stanzas',
    'LIMIT_EXCEEDED',
    (hand) =>
      releaseOf(
        hand,
        { [`${PACKAGES}.gz`]: tenMillionStanzas() },
        { lines: [uncompressed(1_500_000_000)] },
      ),
  ],
  [
    'a line without end',
    'LIMIT_EXCEEDED',
    (hand) => releaseOf(hand, { [PACKAGES]: Buffer.alloc(5 * MiB, 'x') }),
  ],
  [
    'a Release of 100,001 files',
    'LIMIT_EXCEEDED',
    async (hand) => signed(hand, releaseText(hand, {}, { lines: entries(100_001, 5) })),
  ],
  [
    'indices that are too large together',
    'LIMIT_EXCEEDED',
    async (hand) => signed(hand, releaseText(hand, {}, { lines: entries(9, 1024 * MiB) })),
  ],
  [
    'a Release of 100 MB',
    'LIMIT_EXCEEDED',
    async () => ({ [IN_RELEASE]: sending({ length: 100_000_000 }) }),
  ],
  [
    'a Release of 100 MB that does not say so',
    'LIMIT_EXCEEDED',
    async () => ({ [IN_RELEASE]: sending({}) }),
  ],
  [
    'ten million empty lines',
    'LIMIT_EXCEEDED',
    async () => ({ [IN_RELEASE]: Buffer.alloc(10_000_000, '\n') }),
  ],
]);

const entries = (count: number, size: number): string[] =>
  Array.from({ length: count }, (_, i) => ` ${'0'.repeat(64)} ${size} main/c${i}`);

/** Bytes without end, as fast as they are taken. */
const sending =
  (head: { readonly length?: number }): Laid =>
  (_, response) => {
    response.writeHead(200, head.length === undefined ? {} : { 'content-length': head.length });
    const chunk = Buffer.alloc(65_536, 'x');
    const more = (): void => {
      if (!response.closed)
        void (response.write(chunk) ? setImmediate(more) : response.once('drain', more));
    };
    more();
  };

/** A byte a second, for ever. */
const dripping: Laid = (_, response) => {
  const drip = setInterval(() => response.write('x'), 1_000);
  response.write('x');
  response.on('close', () => clearInterval(drip));
};

const redirecting =
  (to: (request: IncomingMessage) => string): Laid =>
  (request: IncomingMessage, response: ServerResponse) =>
    void response.writeHead(302, { location: to(request) }).end();
const hop = (request: IncomingMessage): string => `${request.url}/x`;
const hops: Overlay = Object.fromEntries(
  ['', '/x', '/x/x', '/x/x/x'].map((path) => [IN_RELEASE + path, redirecting(hop)]),
);

/**
 * Packages of its own each time, for what the catalog has is not fetched again; and what is there
 * instead.
 */
async function packagesAre(hand: Hand, laid: Laid): Promise<Overlay> {
  const packages = stanza({ Filename: `pool/${(packagesMade += 1)}.deb` });
  return {
    ...(await releaseOf(hand, { [PACKAGES]: packages })),
    [`${SUITE_FOLDER}/${PACKAGES}`]: laid,
  };
}
let packagesMade = 0;

const TRANSPORT = casesOf('transport', [
  ['Packages without end', 'INDEX_MISMATCH', (hand) => packagesAre(hand, sending({}))],
  ['InRelease, a byte a second', 'ARCHIVE_SLOW', async () => ({ [IN_RELEASE]: dripping })],
  ['Packages, a byte a second', 'ARCHIVE_SLOW', (hand) => packagesAre(hand, dripping)],
  [
    'a redirect to itself',
    'ARCHIVE_REDIRECT',
    async () => ({ [IN_RELEASE]: redirecting(({ url }) => url!) }),
  ],
  ['redirects from here to there', 'ARCHIVE_REDIRECT', async () => hops],
  [
    'a redirect to another origin',
    'ARCHIVE_REDIRECT',
    async (hand) => ({ [IN_RELEASE]: redirecting(() => `${hand.elsewhere}/InRelease`) }),
  ],
  [
    'a redirect to a file',
    'ARCHIVE_REDIRECT',
    async (hand) => ({ [IN_RELEASE]: redirecting(() => `file://${hand.outside}`) }),
  ],
  [
    'Packages are at another origin',
    'ARCHIVE_REDIRECT',
    (hand) =>
      packagesAre(
        hand,
        redirecting(() => hand.elsewhere),
      ),
  ],
]);

const LINKS: HostileCase[] = casesOf('link', [
  [
    'InRelease leads out of the folder',
    'HOSTILE_PATH',
    async (hand) => ({ [IN_RELEASE]: { linkTo: hand.outside } }),
  ],
  [
    'Packages leads out of the folder',
    'HOSTILE_PATH',
    (hand) => packagesAre(hand, { linkTo: hand.outside }),
  ],
  [
    'a folder leads out of the folder',
    'HOSTILE_PATH',
    async (hand) => ({
      ...(await packagesAre(hand, null)),
      [`${SUITE_FOLDER}/${PACKAGES}`.replace(/\/[^/]+$/, '')]: { linkTo: dirname(hand.outside) },
    }),
  ],
]).map((one): HostileCase => ({ ...one, at: 'folder' }));

/** Another InRelease for everybody who asks, and an index that is missing each time. */
async function restless(hand: Hand): Promise<Overlay> {
  const bodies = await Promise.all(
    Array.from({ length: 12 }, async (_, i) =>
      hand.key.signClear(releaseText(hand, { [PACKAGES]: stanza({ Version: `${i}.0` }) })),
    ),
  );
  let asked = 0;
  return {
    [IN_RELEASE]: (_, response) => void response.end(bodies[(asked += 1) % bodies.length]),
    [`${SUITE_FOLDER}/${PACKAGES}`]: null,
  };
}

const CHANGES: HostileCase[] = [
  ...casesOf('change', [
    ['releases at each look', 'ARCHIVE_CHANGING', restless],
    [
      'InRelease of N, Packages of N+1',
      'INDEX_MISMATCH',
      (hand) => packagesAre(hand, stanza({ Filename: 'pool/next.deb' })),
    ],
  ]),
  {
    group: 'change',
    name: 'Packages of N, pool of N+1',
    code: 'BLOB_MISSING',
    over: async (hand) => ({
      ...(await naming(hand, 'moved_1', null)),
      'pool/moved_2.deb': bytesOf('moved_2'),
    }),
    captured: true,
  },
];

const bytesOf = (name: string): Buffer =>
  Buffer.from(`the bytes of ${name}, ${'and so on '.repeat(50)}`);

/** A rightly signed release that names one pool file, and what lies there. */
async function naming(hand: Hand, name: string, laid: Laid): Promise<Overlay> {
  const bytes = bytesOf(name);
  const packages = stanza({
    Filename: `pool/${name}.deb`,
    Size: String(bytes.length),
    SHA256: sha256(bytes),
  });
  return { ...(await releaseOf(hand, { [PACKAGES]: packages })), [`pool/${name}.deb`]: laid };
}

const flipped = (bytes: Buffer): Buffer => Buffer.from(bytes).fill(bytes[9]! ^ 1, 9, 10);

const POOL: HostileCase[] = (
  [
    ['missing', 'BLOB_MISSING', () => null],
    ['one bit flipped', 'BLOB_MISMATCH', (bytes) => flipped(bytes)],
    ['longer', 'BLOB_MISMATCH', (bytes) => Buffer.concat([bytes, Buffer.from('!')])],
    ['shorter', 'BLOB_MISMATCH', (bytes) => bytes.subarray(1)],
    ['without end', 'BLOB_MISMATCH', () => sending({})],
    ['a byte a second', 'ARCHIVE_SLOW', () => dripping],
    ['at another origin', 'ARCHIVE_REDIRECT', (_, hand) => redirecting(() => hand.elsewhere)],
    ['a link out of the folder', 'HOSTILE_PATH', (_, hand) => ({ linkTo: hand.outside })],
  ] satisfies readonly (readonly [string, ErrorCode, (bytes: Buffer, hand: Hand) => Laid])[]
).map(([name, code, laid]): HostileCase => {
  const file = name.replaceAll(' ', '-');
  const isLink = code === 'HOSTILE_PATH';
  return {
    group: isLink ? 'link' : 'pool',
    name: `a pool file is ${name}`,
    code,
    ...(isLink && { at: 'folder' }),
    over: (hand) => naming(hand, file, laid(bytesOf(file), hand)),
    captured: true,
  };
});

/** Captured ones last: each of them is another generation. */
export const HOSTILE_DEEDS: readonly HostileCase[] = [
  ...BULK,
  ...TRANSPORT,
  ...LINKS,
  ...CHANGES,
  ...POOL,
];
