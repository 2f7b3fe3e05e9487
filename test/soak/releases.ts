/** The archive of a soak: two suites that share one pool, and all that it ever released. */
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';

import { startArchiveServer, type ArchiveServer } from '../../src/made-archive/archive-server.ts';
import { makeBinaryPackage, type Package } from '../../src/made-archive/deb-package.ts';
import {
  createSignedArchive,
  type ReleaseContent,
  type SignedArchive,
} from '../../src/made-archive/signed-archive.ts';
import { createSigningKey, type SigningKey } from '../../src/made-archive/signing-key.ts';
import { CHANGING, SUITES, type ReleaseDecision, type Suite } from './decisions.ts';

const KEPT = 4;

const aPackage = (name: string, version: string): Package =>
  makeBinaryPackage({
    name,
    version,
    architecture: 'amd64',
    payload: randomBytes(2_000),
    compression: 'gz',
  });

export class Releases {
  readonly server: ArchiveServer;
  readonly folder: string;
  readonly key: SigningKey;
  readonly #archives: ReadonlyMap<Suite, SignedArchive>;
  readonly #kept: readonly Package[];
  readonly #changing: Map<Suite, Package[]>;
  readonly #last = new Map<Suite, ReleaseContent>();
  /** SHA-256 by the name of a pool file. */
  readonly #released = new Map<string, string>();
  #count = 0;

  private constructor(server: ArchiveServer, folder: string, key: SigningKey) {
    this.server = server;
    this.folder = folder;
    this.key = key;
    this.#archives = new Map(
      SUITES.map((suite) => [suite, createSignedArchive({ folder, suite, key })]),
    );
    this.#kept = Array.from({ length: KEPT }, (_, index) => aPackage(`kept-${index}`, '1.0'));
    this.#changing = new Map(
      SUITES.map((suite) => [
        suite,
        Array.from({ length: CHANGING }, (_, index) => aPackage(`${suite}-${index}`, '1')),
      ]),
    );
  }

  /** Each suite is released once. */
  static async open(folder: string): Promise<Releases> {
    const root = join(folder, 'archive');
    const [server, key] = await Promise.all([
      startArchiveServer(root),
      createSigningKey('the archive of a soak'),
    ]);
    const releases = new Releases(server, root, key);
    for (const suite of SUITES) await releases.release({ afterMs: 0, suite, changes: [] });
    return releases;
  }

  get count(): number {
    return this.#count;
  }

  async release({ suite, changes }: ReleaseDecision): Promise<void> {
    this.#count += 1;
    const changing = this.#changing.get(suite)!;
    for (const index of changes)
      changing[index] = aPackage(`${suite}-${index}`, String(this.#count + 1));
    const archive = this.#archives.get(suite)!;
    const content = await archive.prepare([...this.#kept, ...changing]);
    for (const [path, sha256] of content.pool)
      this.#released.set(path.replace(/^.*\//, ''), sha256);
    await archive.write(content.files);
    this.#last.set(suite, content);
  }

  released(fileName: string): string | undefined {
    return this.#released.get(fileName);
  }

  /** Below the root of the archive: what the newest releases name and never changes. */
  newestPaths(): string[] {
    const files = [...this.#last.values()].flatMap((content) => content.files);
    const immutable = files.filter(({ kind }) => kind === 'pool' || kind === 'by-hash');
    return [...new Set(immutable.map(({ path }) => path))];
  }

  /** SHA-256 of the InRelease that the archive serves. */
  newestRelease(suite: Suite): string {
    const inRelease = this.#last.get(suite)!.files.at(-1)!;
    return createHash('sha256').update(inRelease.bytes).digest('hex');
  }
}
