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
/**
 * Walks a site from InRelease down over anonymous HTTP and counts what is really there. An
 * independent witness of what `debgeo status` says: it imports nothing of debgeo.
 */
import { uncompress } from './uncompress.ts';

export interface SiteWalk {
  /**
   * SHA-256 of the InRelease that the site serves, or of its Release where there is no InRelease:
   * which release it is.
   */
  readonly releaseSha256: string;
  /**
   * Listed indices that are there: by the canonical name and by every by-hash path, with the right
   * bytes.
   */
  readonly indices: number;
  /** Different by-hash paths with the right bytes. */
  readonly byHash: number;
  /** Listed names that answer 404 in every place. */
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

/** What a Packages index says of one file; a package may have several. */
export interface ListedPackage extends PoolFile {
  readonly name: string;
  readonly path: string;
  /** It needs no other package. */
  readonly standsAlone: boolean;
}

/**
 * The indices of a site, each read and compared with what its Release lists, and what they name.
 */
export interface WalkedIndices {
  readonly releaseSha256: string;
  readonly release: ReleaseFields;
  /** Those that are there, relative to the folder of the suite. */
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
  const left = items[Symbol.iterator]();
  const takeTurns = async (): Promise<void> => {
    for (let next = left.next(); !next.done; next = left.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, takeTurns));
}

async function faultOf(url: string, path: string, file: PoolFile): Promise<string | null> {
  const { status, size, sha256 } = await weigh(url, path);
  if (status === 200 && size === file.size && sha256 === file.sha256) return null;
  return `${path}: answer ${status}, ${size} bytes, expected ${file.size} with SHA-256 ${file.sha256}`;
}

export async function walkIndices({ url, suite, keyring }: WalkOptions): Promise<WalkedIndices> {
  const folder = suiteFolderOf(suite);
  const faults: string[] = [];
  const indices: string[] = [];
  const byHash = new Set<string>();
  const pool = new Map<string, PoolFile>();
  const packages = new Map<string, ListedPackage>();
  /** By-hash paths that answer although the name does not. */
  const strays = new Map<string, readonly string[]>();
  let absent = 0;

  const served = await fetchRelease();
  const release = readRelease(served.text);
  await someAtOnce(release.files.values(), walkIndex);
  for (const [name, paths] of strays)
    if (paths.some((path) => !byHash.has(path))) faults.push(`${name}: answer 404`);
  return {
    releaseSha256: digest('sha256', served.bytes),
    release,
    indices,
    byHash,
    absent,
    pool,
    packages: [...packages.values()],
    faults,
  };

  async function fetchRelease(): Promise<{ readonly text: string; readonly bytes: Buffer }> {
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

  /**
   * All places of an index answer alike: right bytes everywhere, or 404 everywhere. A by-hash path
   * may be that of another index, too, that has the same bytes and is there (empty ones do): it
   * does not make a name present that answers 404.
   */
  async function walkIndex(file: ListedFile): Promise<void> {
    const parent = file.path.replace(/[^/]+$/, '');
    const canonicalPath = `${folder}${file.path}`;
    const byHashPaths = [...file.hashes].map(
      ([table, hex]) => `${folder}${parent}by-hash/${table}/${hex}`,
    );
    const [canonical, ...others] = await Promise.all(
      [canonicalPath, ...byHashPaths].map(async (path) => ({ path, answer: await ask(url, path) })),
    );
    if (canonical?.answer.status === 404) {
      absent += 1;
      strays.set(
        canonicalPath,
        others.flatMap(({ path, answer }) => (answer.status === 404 ? [] : [path])),
      );
      return;
    }
    for (const { path, answer } of [canonical, ...others].filter((one) => one !== undefined)) {
      const difference =
        answer.status === 200 ? differenceOf(file, answer.bytes) : `answer ${answer.status}`;
      if (difference !== null) faults.push(`${path}: ${difference}`);
      else if (path === canonicalPath) notePoolFiles(file.path, answer.bytes);
      else byHash.add(path);
    }
    indices.push(file.path);
  }

  function notePoolFiles(path: string, bytes: Buffer): void {
    const extension = /\.(gz|xz|zst)$/.exec(path)?.[1] as 'gz' | 'xz' | 'zst' | undefined;
    const stem = extension === undefined ? path : path.slice(0, -extension.length - 1);
    if (!/(^|\/)(Packages|Sources)$/.test(stem)) return;
    const text = (extension === undefined ? bytes : uncompress(bytes, extension)).toString('utf8');
    for (const stanza of readStanzas(text)) {
      const filename = stanza.get('filename');
      if (filename !== undefined) {
        const file = { size: Number(stanza.get('size')), sha256: stanza.get('sha256') ?? '' };
        pool.set(filename, file);
        const standsAlone = !stanza.has('depends') && !stanza.has('pre-depends');
        packages.set(filename, {
          ...file,
          name: stanza.get('package') ?? '',
          path: filename,
          standsAlone,
        });
      }
      for (const line of (stanza.get('checksums-sha256') ?? '').split('\n')) {
        const [sha256, size, name] = line.trim().split(/\s+/);
        const directory = stanza.get('directory') ?? '';
        if (sha256 && name)
          pool.set(/^\.?$/.test(directory) ? name : `${directory}/${name}`, {
            size: Number(size),
            sha256,
          });
      }
    }
  }
}
