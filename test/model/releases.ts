/**
 * Tiny signed releases of two suites in one pool. Signing takes longer than all else of a schedule,
 * so each release is signed once per process, and comes again by its content.
 */
import { createHash } from 'node:crypto';

import type { RepoPath } from '../../src/domain/repo-path.ts';
import { sha256Of, type Sha256 } from '../../src/domain/sha256.ts';
import { makeBinaryPackage, type BinaryPackage } from '../../src/made-archive/deb-package.ts';
import {
  makeIndices,
  makeReleaseText,
  poolPathOf,
  type Index,
} from '../../src/made-archive/release-files.ts';
import { createSigningKey, type SigningKey } from '../../src/made-archive/signing-key.ts';

export const SUITES = ['stable', 'testing'] as const;
export type Suite = (typeof SUITES)[number];

/** Packages of which a release has any. */
const NAMES = ['alpha', 'bravo', 'charlie'] as const;

export interface Content {
  readonly suite: Suite;
  /** Bits of NAMES; at least one. */
  readonly packages: number;
  /** A package at one path, whose bytes are those of this edition; null: without it. */
  readonly shared: 'one' | 'two' | null;
  /** Packages.xz: there, listed and absent, or not listed at all. */
  readonly xz: 'there' | 'absent' | 'unlisted';
}

export interface Release extends Content {
  /** Later releases have larger ones, whatever their suite. */
  readonly number: number;
  /** What the archive has, by its path. */
  readonly files: ReadonlyMap<RepoPath, Buffer>;
  /** What a client installs from, whose bytes never change: pool files and by-hash indices. */
  readonly members: ReadonlyMap<RepoPath, Sha256>;
  /** Published names; null: 404. */
  readonly names: ReadonlyMap<RepoPath, Sha256 | null>;
  readonly inRelease: Sha256;
}

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
export const NUMBERS_MAX = 60;

const payloadOf = (name: string): Buffer => createHash('sha512').update(name).digest();
const packageOf = (name: string, edition = ''): BinaryPackage =>
  makeBinaryPackage({
    name,
    version: '1.0',
    architecture: 'amd64',
    payload: payloadOf(`${name}${edition}`),
    compression: 'gz',
  });
const PACKAGES = NAMES.map((name) => packageOf(name));
const WITHOUT_XZ = packageOf('without-xz');
const SHARED = { one: packageOf('shared', 'one'), two: packageOf('shared', 'two') };

export const inReleasePath = (suite: Suite): RepoPath => `dists/${suite}/InRelease` as RepoPath;

export class Releases {
  readonly key: SigningKey;
  /** Of the releases of this process, by InRelease. */
  readonly byDigest = new Map<Sha256, Release>();
  readonly #signed = new Map<string, Release>();
  readonly #firstDate: number;

  private constructor(key: SigningKey, firstDate: number) {
    this.key = key;
    this.#firstDate = firstDate;
  }

  static async create(): Promise<Releases> {
    const firstDate = Date.now() - DAY_MS;
    const created = new Date(firstDate - DAY_MS);
    return new Releases(await createSigningKey('archive', { created }), firstDate);
  }

  async signed(content: Content, number: number): Promise<Release> {
    const key = JSON.stringify([content, number]);
    const known = this.#signed.get(key);
    if (known !== undefined) return known;
    const release = await this.#sign(content, number);
    this.#signed.set(key, release);
    this.byDigest.set(release.inRelease, release);
    return release;
  }

  async #sign(content: Content, number: number): Promise<Release> {
    const { suite } = content;
    const packages = packagesOf(content);
    const shape = { components: ['main'], architectures: ['amd64'], compressions: COMPRESSIONS };
    const indices = makeIndices(packages, suite, shape).filter(
      ({ path }) => path.includes('/binary-amd64/Packages') && !isUnlisted(content, path),
    );
    const date = new Date(this.#firstDate + number * MINUTE_MS);
    const text = makeReleaseText(suite, shape, indices, {
      hashes: ['SHA256'],
      acquireByHash: true,
      date,
      validUntil: null,
    });
    const isThere = ({ path, absent }: Index): boolean =>
      !absent && !(content.xz === 'absent' && path.endsWith('.xz'));
    const folder = `dists/${suite}`;
    const ofReleaseSet = {
      InRelease: await this.key.signClear(text, date),
      Release: text,
      'Release.gpg': await this.key.signDetached(text, date),
    };
    return releaseOf(content, number, {
      pool: packages.map((entry) => [poolPathOf(entry, entry.file.name), entry.file.bytes]),
      byHash: indices
        .filter(isThere)
        .map(({ path, bytes }) => [`${folder}/${byHash(path, bytes)}`, bytes]),
      names: [
        ...indices.map((index): Named => {
          const path = `${folder}/${index.path}`;
          return [path, isThere(index) ? index.bytes : null];
        }),
        ...Object.entries(ofReleaseSet).map(([name, bytes]): Named => [
          `${folder}/${name}`,
          Buffer.from(bytes),
        ]),
      ],
    });
  }
}

const COMPRESSIONS = ['gz', 'xz'] as const;

/**
 * Where Packages.xz is absent, Packages has a package more: an index that is listed as before is
 * not asked for again, though the archive lacks it by now (activities/capture/fetch-indices.ts).
 */
const packagesOf = ({ packages, shared, xz }: Content): BinaryPackage[] => [
  ...PACKAGES.filter((_, bit) => (packages & (1 << bit)) !== 0),
  ...(xz === 'absent' ? [WITHOUT_XZ] : []),
  ...(shared === null ? [] : [SHARED[shared]]),
];

const isUnlisted = ({ xz }: Content, path: string): boolean =>
  xz === 'unlisted' && path.endsWith('.xz');

const byHash = (path: string, bytes: Uint8Array): string =>
  path.replace(/[^/]+$/, `by-hash/SHA256/${sha256Of(bytes)}`);

type Filed = readonly [path: string, bytes: Uint8Array];
type Named = readonly [path: string, bytes: Uint8Array | null];

function releaseOf(
  content: Content,
  number: number,
  of: {
    readonly pool: readonly Filed[];
    readonly byHash: readonly Filed[];
    readonly names: readonly Named[];
  },
): Release {
  const names = of.names.map(
    ([path, bytes]) => [path as RepoPath, bytes === null ? null : sha256Of(bytes)] as const,
  );
  const present = of.names.flatMap(([path, bytes]) =>
    bytes === null ? [] : [[path, bytes] as const],
  );
  const files = [...of.pool, ...of.byHash, ...present];
  return {
    ...content,
    number,
    files: new Map(files.map(([path, bytes]) => [path as RepoPath, Buffer.from(bytes)])),
    members: new Map(
      [...of.pool, ...of.byHash].map(([path, bytes]) => [path as RepoPath, sha256Of(bytes)]),
    ),
    names: new Map(names),
    inRelease: new Map(names).get(inReleasePath(content.suite))!,
  };
}
