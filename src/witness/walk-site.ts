/**
 * Walks a site from InRelease down over anonymous HTTP and counts what is there: what `debgeo
 * status` says is compared with it.
 */
import {
  ask,
  differenceOf,
  digest,
  readDetached,
  readInRelease,
  readRelease,
  readStanzas,
  suiteFolderOf,
  weigh,
  type ListedFile,
  type ReleaseFields,
} from './ask-as-apt.ts';
import { uncompress } from './uncompress.ts';

export interface SiteWalk {
  /** SHA-256 of the InRelease that the site serves, of its Release where there is no InRelease. */
  readonly releaseSha256: string;
  /** Listed indices that are there. */
  readonly indices: number;
  /** By-hash paths with the right bytes, each counted once. */
  readonly byHash: number;
  /** Listed indices whose name answers 404. */
  readonly absent: number;
  /** Pool files with the right size and SHA-256. */
  readonly poolFiles: number;
  /** byHash and poolFiles together: the immutable members of the snapshot. */
  readonly members: number;
  /** Empty if the distribution is whole. */
  readonly faults: readonly string[];
}

export interface WalkOptions {
  /** Root of the archive as the site serves it. */
  readonly url: string;
  /** As in sources.list: with a slash at its end it is the folder of a flat archive. */
  readonly suite: string;
  /** Null: the archive is not signed. */
  readonly keyring: Uint8Array | null;
}

interface PoolFile {
  readonly size: number;
  readonly sha256: string;
}

/** One .deb as a Packages index lists it; a package may have several. */
export interface ListedPackage extends PoolFile {
  readonly name: string;
  readonly path: string;
  /** It depends on no other package. */
  readonly standsAlone: boolean;
}

/** The indices of a site, each compared with what its Release lists, and the files they name. */
export interface WalkedIndices {
  readonly releaseSha256: string;
  readonly release: ReleaseFields;
  /** Paths of those that are there, relative to the folder of the suite. */
  readonly indices: readonly string[];
  readonly byHash: ReadonlySet<string>;
  readonly absent: number;
  /** By path below the root of the archive. */
  readonly pool: ReadonlyMap<string, PoolFile>;
  readonly packages: readonly ListedPackage[];
  readonly faults: readonly string[];
}

const AT_ONCE = 8;

export async function walkSite(options: WalkOptions): Promise<SiteWalk> {
  const { releaseSha256, indices, byHash, absent, pool, ...walked } = await walkIndices(options);
  const faults = [...walked.faults];
  let poolFiles = 0;
  await someAtOnce(pool, async ([path, file]) => {
    const fault = await faultOf(options.url, path, file);
    if (fault === null) poolFiles += 1;
    else faults.push(fault);
  });
  return {
    releaseSha256,
    indices: indices.length,
    byHash: byHash.size,
    absent,
    poolFiles,
    members: byHash.size + poolFiles,
    faults,
  };
}

async function someAtOnce<T>(items: Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
  const queue = Iterator.from(items);
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const item of queue) await work(item);
    }),
  );
}

async function faultOf(url: string, path: string, file: PoolFile): Promise<string | null> {
  const { status, size, sha256 } = await weigh(url, path);
  if (status === 200 && size === file.size && sha256 === file.sha256) return null;
  const expected = `${file.size} with SHA-256 ${file.sha256}`;
  return `${path}: answer ${status}, ${size} bytes, expected ${expected}`;
}

export async function walkIndices(options: WalkOptions): Promise<WalkedIndices> {
  const served = await fetchRelease(options);
  const release = readRelease(served.text);
  const walk = new IndexWalk(options.url, suiteFolderOf(options.suite));
  await someAtOnce(release.files.values(), (file) => walk.visit(file));
  const { indices, byHash, absent, pool, packages, faults } = walk;
  return {
    releaseSha256: digest('sha256', served.bytes),
    release,
    indices,
    byHash,
    absent,
    pool,
    packages: [...packages.values()],
    faults: [...faults, ...walk.strayFaults()],
  };
}

async function fetchRelease({
  url,
  suite,
  keyring,
}: WalkOptions): Promise<{ readonly text: string; readonly bytes: Buffer }> {
  const folder = suiteFolderOf(suite);
  const inRelease = await ask(url, `${folder}InRelease`);
  if (inRelease.status === 200)
    return { text: await readInRelease(inRelease.bytes, keyring), bytes: inRelease.bytes };
  const { status, bytes } = await ask(url, `${folder}Release`);
  if (status === 200 && keyring === null) return { text: bytes.toString('utf8'), bytes };
  const releaseGpg = await ask(url, `${folder}Release.gpg`);
  if (status !== 200 || releaseGpg.status !== 200 || keyring === null)
    throw new Error(`no Release set at ${url}: ${inRelease.status}, ${status}`);
  return { text: await readDetached(bytes, releaseGpg.bytes, keyring), bytes };
}

class IndexWalk {
  readonly indices: string[] = [];
  readonly byHash = new Set<string>();
  readonly pool = new Map<string, PoolFile>();
  readonly packages = new Map<string, ListedPackage>();
  readonly faults: string[] = [];
  absent = 0;
  readonly #url: string;
  readonly #folder: string;
  /** By a name that answers 404, the by-hash paths of it that answer. */
  readonly #strays = new Map<string, readonly string[]>();

  constructor(url: string, folder: string) {
    this.#url = url;
    this.#folder = folder;
  }

  /** All places of an index must answer alike: the right bytes everywhere, or 404 everywhere. */
  async visit(file: ListedFile): Promise<void> {
    const parent = file.path.replace(/[^/]+$/, '');
    const canonicalPath = `${this.#folder}${file.path}`;
    const byHashPaths = [...file.hashes].map(
      ([table, hex]) => `${this.#folder}${parent}by-hash/${table}/${hex}`,
    );
    const answers = await Promise.all(
      [canonicalPath, ...byHashPaths].map(async (path) => ({
        path,
        answer: await ask(this.#url, path),
      })),
    );
    if (answers[0]?.answer.status === 404) {
      this.absent += 1;
      const present = answers.filter(({ answer }) => answer.status !== 404);
      this.#strays.set(
        canonicalPath,
        present.map(({ path }) => path),
      );
      return;
    }
    for (const { path, answer } of answers) {
      const difference =
        answer.status === 200 ? differenceOf(file, answer.bytes) : `answer ${answer.status}`;
      if (difference !== null) this.faults.push(`${path}: ${difference}`);
      else if (path === canonicalPath) this.#readIndex(file.path, answer.bytes);
      else this.byHash.add(path);
    }
    this.indices.push(file.path);
  }

  /**
   * After all visits. A by-hash path of an absent index may be that of another index with the same
   * bytes (empty ones have), which is there; otherwise it is a fault.
   */
  strayFaults(): string[] {
    return [...this.#strays]
      .filter(([, paths]) => paths.some((path) => !this.byHash.has(path)))
      .map(([name]) => `${name}: answer 404`);
  }

  #readIndex(path: string, bytes: Buffer): void {
    const extension = /\.(gz|xz|zst)$/.exec(path)?.[1] as 'gz' | 'xz' | 'zst' | undefined;
    const stem = extension === undefined ? path : path.slice(0, -extension.length - 1);
    if (!/(^|\/)(Packages|Sources)$/.test(stem)) return;
    const text = (extension === undefined ? bytes : uncompress(bytes, extension)).toString('utf8');
    for (const stanza of readStanzas(text)) {
      this.#notePackage(stanza);
      this.#noteSource(stanza);
    }
  }

  #notePackage(stanza: ReadonlyMap<string, string>): void {
    const path = stanza.get('filename');
    if (path === undefined) return;
    const file = { size: Number(stanza.get('size')), sha256: stanza.get('sha256') ?? '' };
    this.pool.set(path, file);
    const standsAlone = !stanza.has('depends') && !stanza.has('pre-depends');
    this.packages.set(path, { ...file, name: stanza.get('package') ?? '', path, standsAlone });
  }

  #noteSource(stanza: ReadonlyMap<string, string>): void {
    const directory = stanza.get('directory') ?? '';
    for (const line of (stanza.get('checksums-sha256') ?? '').split('\n')) {
      const [sha256, size, name] = line.trim().split(/\s+/);
      if (!sha256 || !name) continue;
      const path = /^\.?$/.test(directory) ? name : `${directory}/${name}`;
      this.pool.set(path, { size: Number(size), sha256 });
    }
  }
}
