/**
 * A signed archive on disk, written the way a careful archive does: pool, by-hash, canonical
 * indices, Release.gpg, Release, InRelease last, each file under another name first and then
 * renamed. Several suites may share one folder, and so one pool.
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
  /** Root of the archive: `pool/` and `dists/` appear in it. */
  readonly folder: string;
  readonly suite: string;
  readonly key: SigningKey;
  /** `main` unless given. */
  readonly components?: readonly string[];
  /** `amd64` unless given. Packages of architecture `all` are repeated in each. */
  readonly architectures?: readonly string[];
  /** Whether Release says `Acquire-By-Hash: yes`, and by-hash files exist. Yes unless given. */
  readonly acquireByHash?: boolean;
  /**
   * `both`: InRelease, Release and Release.gpg (Debian); `inline`: InRelease alone; `detached`:
   * Release and Release.gpg alone.
   */
  readonly releaseSet?: 'both' | 'inline' | 'detached';
  /** What Release lists; MD5Sum and SHA256 unless given. By-hash files exist under each. */
  readonly hashes?: readonly HashName[];
  /**
   * Variants of Packages, Sources and Translation-en; gz and xz unless given. The uncompressed one
   * is listed and absent.
   */
  readonly compressions?: readonly Compression[];
}

export interface ReleaseOptions {
  /**
   * Of the Release file; now unless given, later than the one before, and never more than 5 s
   * ahead.
   */
  readonly date?: Date;
  readonly validUntil?: Date;
  /** Signs with another key than the archive's own. */
  readonly key?: SigningKey;
  /** When the signature says that it was made. */
  readonly signedAt?: Date;
}

/** A file of a release at its path below the archive's root. */
export interface ReleasedFile {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly kind: 'pool' | 'by-hash' | 'canonical' | 'release';
}

export interface ReleaseContent {
  readonly date: Date;
  /** In the order in which they may become visible: InRelease is last. */
  readonly files: readonly ReleasedFile[];
  /** Listed in Release, and not there. */
  readonly absent: readonly string[];
  readonly packages: readonly Package[];
  /** SHA-256 by pool path. */
  readonly pool: ReadonlyMap<string, string>;
}

export interface SignedArchive {
  readonly folder: string;
  readonly suite: string;
  readonly key: SigningKey;
  /** Makes a release of exactly these packages, and writes nothing. */
  prepare(packages: readonly Package[], options?: ReleaseOptions): Promise<ReleaseContent>;
  /** Writes files as they come, each at once and whole; a pool path never gets other bytes. */
  write(files: readonly ReleasedFile[]): Promise<void>;
  /** prepare, then write in order. Earlier by-hash and pool files stay. */
  release(packages: readonly Package[], options?: ReleaseOptions): Promise<ReleaseContent>;
  /**
   * Deletes what earlier releases of this object wrote to by-hash folders and to the pool, unless
   * this release names it; other suites are not asked.
   */
  dropOld(current: ReleaseContent): Promise<void>;
}

/** apt and debgeo allow a Date 10 s ahead; a burst of releases must stay below that. */
const AHEAD_MS_MAX = 5_000;

export function createSignedArchive(options: SignedArchiveOptions): SignedArchive {
  const { folder, suite, key } = options;
  const hashes = options.hashes ?? ['MD5Sum', 'SHA256'];
  const acquireByHash = options.acquireByHash ?? true;
  const shape = {
    components: options.components ?? ['main'],
    architectures: options.architectures ?? ['amd64'],
    compressions: options.compressions ?? (['gz', 'xz'] as const),
  };
  const suiteFolder = `dists/${suite}`;
  const written = new Map<string, ReleasedFile['kind']>();
  let lastDate = 0;
  let lastModified = 0;

  return { folder, suite, key, prepare, write, release, dropOld };

  async function release(
    packages: readonly Package[],
    releaseOptions: ReleaseOptions = {},
  ): Promise<ReleaseContent> {
    const content = await prepare(packages, releaseOptions);
    await write(content.files);
    return content;
  }

  async function prepare(
    packages: readonly Package[],
    releaseOptions: ReleaseOptions = {},
  ): Promise<ReleaseContent> {
    const date = releaseOptions.date ?? nextDate();
    const pool = packages.flatMap(poolFilesOf);
    const indices = makeIndices(packages, suite, shape);
    const validUntil = releaseOptions.validUntil ?? null;
    const text = makeReleaseText(suite, shape, indices, {
      hashes,
      acquireByHash,
      date,
      validUntil,
    });
    const present = indices.filter((index) => !index.absent);
    const files = [
      ...pool,
      ...(acquireByHash ? present.flatMap(byHashFilesOf) : []),
      ...present.map(({ path, bytes }) => ({
        path: `${suiteFolder}/${path}`,
        bytes,
        kind: 'canonical' as const,
      })),
      ...(await releaseSetFiles(text, releaseOptions)),
    ];
    return {
      date,
      files,
      absent: indices
        .filter((index) => index.absent)
        .map((index) => `${suiteFolder}/${index.path}`),
      packages,
      pool: new Map(pool.map((file) => [file.path, hashOf('SHA256', file.bytes)])),
    };
  }

  /**
   * Whole seconds, later than the last one while that is not too far ahead; equal to it in a longer
   * burst, never before it.
   */
  function nextDate(): Date {
    const now = Math.floor(Date.now() / 1000) * 1000;
    lastDate = Math.max(lastDate, Math.min(Math.max(now, lastDate + 1000), now + AHEAD_MS_MAX));
    return new Date(lastDate);
  }

  function byHashFilesOf({ path, bytes }: Index): ReleasedFile[] {
    const parent = `${suiteFolder}/${path}`.replace(/\/[^/]+$/, '');
    return hashes.map((hash) => ({
      path: `${parent}/by-hash/${hash}/${hashOf(hash, bytes)}`,
      bytes,
      kind: 'by-hash',
    }));
  }

  async function releaseSetFiles(
    text: string,
    releaseOptions: ReleaseOptions,
  ): Promise<ReleasedFile[]> {
    const signer = releaseOptions.key ?? key;
    const form = options.releaseSet ?? 'both';
    const file = (name: string, content: string): ReleasedFile => ({
      path: `${suiteFolder}/${name}`,
      bytes: Buffer.from(content),
      kind: 'release',
    });
    const files: ReleasedFile[] = [];
    if (form !== 'inline') {
      files.push(
        file('Release.gpg', await signer.signDetached(text, releaseOptions.signedAt)),
        file('Release', text),
      );
    }
    if (form !== 'detached')
      files.push(file('InRelease', await signer.signClear(text, releaseOptions.signedAt)));
    return files;
  }

  async function write(files: readonly ReleasedFile[]): Promise<void> {
    // One second later than before, whatever the clock says: a reader that asks If-Modified-Since
    // sees every release.
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

  async function dropOld(current: ReleaseContent): Promise<void> {
    const kept = new Set(current.files.map((file) => file.path));
    for (const [path, kind] of written) {
      if (kept.has(path) || (kind !== 'pool' && kind !== 'by-hash')) continue;
      await rm(join(folder, path), { force: true });
      written.delete(path);
    }
  }
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
    throw new Error(`other bytes than before for ${path}: a version is released once`);
  return found !== null;
}
