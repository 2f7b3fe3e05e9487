/**
 * A signed archive on disk, for the demo, the tests and the bench. It is written in the order of a
 * careful archive: pool, by-hash, canonical indices, Release.gpg, Release, InRelease last; each
 * file under another name first, then renamed. Several suites may share one folder, and so one
 * pool.
 *
 * This room imports nothing of debgeo, so that what it makes does not agree with what debgeo reads
 * by construction (linted).
 */
import { mkdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import type { Compression } from './compress.ts';
import type { Package } from './deb-package.ts';
import {
  hashOf,
  makeIndices,
  makeReleaseText,
  poolPathOf,
  type HashName,
  type Index,
} from './release-files.ts';
import type { SigningKey } from './signing-key.ts';

export interface SignedArchiveOptions {
  /** Root of the archive, with `pool/` and `dists/`. */
  readonly folder: string;
  readonly suite: string;
  readonly key: SigningKey;
  /** Default `main`. */
  readonly components?: readonly string[];
  /** Default `amd64`. The index of each lists the packages of architecture `all`, too. */
  readonly architectures?: readonly string[];
  /** Whether Release says `Acquire-By-Hash: yes` and by-hash files exist. Default true. */
  readonly acquireByHash?: boolean;
  /**
   * `both`: InRelease, Release and Release.gpg (Debian); `inline`: InRelease alone; `detached`:
   * Release and Release.gpg alone.
   */
  readonly releaseSet?: 'both' | 'inline' | 'detached';
  /** Tables of Release, and folders of by-hash files. Default MD5Sum and SHA256. */
  readonly hashes?: readonly HashName[];
  /**
   * Variants of Packages, Sources and Translation-en. Default gz and xz. The uncompressed variant
   * is listed and absent.
   */
  readonly compressions?: readonly Compression[];
}

export interface ReleaseOptions {
  /** Of Release. Unless given: now, or later than the last one, but at most 5 s ahead. */
  readonly date?: Date;
  readonly validUntil?: Date;
  /** Signs in place of the archive's own key. */
  readonly key?: SigningKey;
  /** The time that the signature states; now unless given. */
  readonly signedAt?: Date;
}

/** A file of a release; its path is relative to the root of the archive. */
export interface ReleasedFile {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly kind: 'pool' | 'by-hash' | 'canonical' | 'release';
}

export interface ReleaseContent {
  readonly date: Date;
  /** In the order of publication: InRelease is last. */
  readonly files: readonly ReleasedFile[];
  /** Paths that Release lists and the archive lacks. */
  readonly absent: readonly string[];
  readonly packages: readonly Package[];
  /** SHA-256 by pool path. */
  readonly pool: ReadonlyMap<string, string>;
}

export interface SignedArchive {
  readonly folder: string;
  readonly suite: string;
  readonly key: SigningKey;
  /** Makes a release of exactly these packages; writes nothing. */
  prepare(packages: readonly Package[], options?: ReleaseOptions): Promise<ReleaseContent>;
  /** Writes files in this order, each atomically. @throws Error at other bytes for a pool path */
  write(files: readonly ReleasedFile[]): Promise<void>;
  /** `prepare`, then `write`. By-hash and pool files of earlier releases stay. */
  release(packages: readonly Package[], options?: ReleaseOptions): Promise<ReleaseContent>;
  /**
   * Deletes the by-hash and pool files that earlier releases of this object wrote and this release
   * does not name; what other suites name is not considered.
   */
  dropOld(current: ReleaseContent): Promise<void>;
}

/** apt and debgeo accept a Date 10 s ahead; a burst of releases stays below that. */
const AHEAD_MS_MAX = 5_000;

export function createSignedArchive(options: SignedArchiveOptions): SignedArchive {
  const { folder, suite, key } = options;
  const nextDate = datesOfReleases();
  const written = new Map<string, ReleasedFile['kind']>();
  let lastModified = 0;

  return {
    folder,
    suite,
    key,
    prepare,
    write,
    async release(packages, releaseOptions) {
      const content = await prepare(packages, releaseOptions);
      await write(content.files);
      return content;
    },
    async dropOld(current) {
      const kept = new Set(current.files.map((file) => file.path));
      for (const [path, kind] of written) {
        if (kept.has(path) || (kind !== 'pool' && kind !== 'by-hash')) continue;
        await rm(join(folder, path), { force: true });
        written.delete(path);
      }
    },
  };

  async function prepare(
    packages: readonly Package[],
    releaseOptions: ReleaseOptions = {},
  ): Promise<ReleaseContent> {
    return contentOf(options, packages, releaseOptions, releaseOptions.date ?? nextDate());
  }

  async function write(files: readonly ReleasedFile[]): Promise<void> {
    // A second later than the last write, whatever the clock says: a reader that asks with
    // If-Modified-Since sees every release.
    lastModified = Math.max(Math.floor(Date.now() / 1000), lastModified + 1);
    for (const file of files) {
      const path = join(folder, file.path);
      if (file.kind === 'pool' && (await isThere(path, file.bytes))) continue;
      await mkdir(dirname(path), { recursive: true });
      await writeFile(`${path}.new`, file.bytes);
      await utimes(`${path}.new`, lastModified, lastModified);
      await rename(`${path}.new`, path);
      written.set(file.path, file.kind);
    }
  }
}

/**
 * Whole seconds, each later than the last one while that is at most AHEAD_MS_MAX ahead; in a longer
 * burst equal to it.
 */
function datesOfReleases(): () => Date {
  let last = 0;
  return () => {
    const now = Math.floor(Date.now() / 1000) * 1000;
    last = Math.max(last, Math.min(Math.max(now, last + 1000), now + AHEAD_MS_MAX));
    return new Date(last);
  };
}

async function contentOf(
  options: SignedArchiveOptions,
  packages: readonly Package[],
  releaseOptions: ReleaseOptions,
  date: Date,
): Promise<ReleaseContent> {
  const { suite, hashes = ['MD5Sum', 'SHA256'], acquireByHash = true } = options;
  const { components = ['main'], architectures = ['amd64'], compressions = ['gz', 'xz'] } = options;
  const shape = { components, architectures, compressions };
  const pool = packages.flatMap(poolFilesOf);
  const indices = makeIndices(packages, suite, shape);
  const present = indices.filter((index) => !index.absent);
  const text = makeReleaseText(suite, shape, indices, {
    hashes,
    acquireByHash,
    date,
    validUntil: releaseOptions.validUntil ?? null,
  });
  return {
    date,
    files: [
      ...pool,
      ...(acquireByHash ? present.flatMap((index) => byHashFilesOf(suite, index, hashes)) : []),
      ...present.map((index) => canonicalFileOf(suite, index)),
      ...(await releaseSetFiles(options, text, releaseOptions)),
    ],
    absent: indices
      .filter((index) => index.absent)
      .map((index) => canonicalFileOf(suite, index).path),
    packages,
    pool: new Map(pool.map((file) => [file.path, hashOf('SHA256', file.bytes)])),
  };
}

const canonicalFileOf = (suite: string, { path, bytes }: Index): ReleasedFile => ({
  path: `dists/${suite}/${path}`,
  bytes,
  kind: 'canonical',
});

function byHashFilesOf(
  suite: string,
  { path, bytes }: Index,
  hashes: readonly HashName[],
): ReleasedFile[] {
  const parent = `dists/${suite}/${path}`.replace(/\/[^/]+$/, '');
  return hashes.map((hash) => ({
    path: `${parent}/by-hash/${hash}/${hashOf(hash, bytes)}`,
    bytes,
    kind: 'by-hash',
  }));
}

async function releaseSetFiles(
  { suite, key, releaseSet = 'both' }: SignedArchiveOptions,
  text: string,
  { key: signer = key, signedAt }: ReleaseOptions,
): Promise<ReleasedFile[]> {
  const file = (name: string, content: string): ReleasedFile => ({
    path: `dists/${suite}/${name}`,
    bytes: Buffer.from(content),
    kind: 'release',
  });
  const files: ReleasedFile[] = [];
  if (releaseSet !== 'inline')
    files.push(
      file('Release.gpg', await signer.signDetached(text, signedAt)),
      file('Release', text),
    );
  if (releaseSet !== 'detached')
    files.push(file('InRelease', await signer.signClear(text, signedAt)));
  return files;
}

const poolFilesOf = (entry: Package): ReleasedFile[] =>
  (entry.kind === 'binary' ? [entry.file] : entry.files).map(({ name, bytes }) => ({
    path: poolPathOf(entry, name),
    bytes,
    kind: 'pool',
  }));

async function isThere(path: string, bytes: Uint8Array): Promise<boolean> {
  const found = await readFile(path).catch(() => null);
  if (found !== null && !found.equals(bytes))
    throw new Error(`${path} has other bytes already: a version is released once`);
  return found !== null;
}
