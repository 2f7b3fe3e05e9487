/**
 * Walks a site from InRelease down over anonymous HTTP and counts what is really there. An independent witness of what `debgeo status`
 * says: it imports nothing of debgeo.
 */
import { ask, differenceOf, digest, readDetached, readInRelease, readRelease, readStanzas, type ListedFile } from './ask-as-apt.ts';
import { uncompress } from './compress.ts';

export interface SiteWalk {
  /** SHA-256 of the InRelease that the site serves, or of its Release where there is no InRelease: which release it is. */
  readonly releaseSha256: string;
  /** Listed indices that are there: by the canonical name and by every by-hash path, with the right bytes. */
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
  readonly suite: string;
  readonly keyring: Uint8Array;
}

export async function walkSite({ url, suite, keyring }: WalkOptions): Promise<SiteWalk> {
  const faults: string[] = [];
  const byHash = new Set<string>();
  const pool = new Map<string, { readonly size: number; readonly sha256: string }>();
  let indices = 0;
  let absent = 0;

  const served = await fetchRelease();
  for (const file of readRelease(served.text).files.values()) await walkIndex(file);
  let poolFiles = 0;
  for (const [path, file] of pool) if (await isRight(path, file)) poolFiles += 1;

  return {
    releaseSha256: digest('sha256', served.bytes),
    indices,
    byHash: byHash.size,
    absent,
    poolFiles,
    members: byHash.size + poolFiles,
    faults,
  };

  async function fetchRelease(): Promise<{ readonly text: string; readonly bytes: Buffer }> {
    const inRelease = await ask(url, `dists/${suite}/InRelease`);
    if (inRelease.status === 200) return { text: await readInRelease(inRelease.bytes, keyring), bytes: inRelease.bytes };
    const release = await ask(url, `dists/${suite}/Release`);
    const releaseGpg = await ask(url, `dists/${suite}/Release.gpg`);
    if (release.status !== 200 || releaseGpg.status !== 200)
      throw new Error(`no Release set at ${url}: ${inRelease.status}, ${release.status}`);
    return { text: await readDetached(release.bytes, releaseGpg.bytes, keyring), bytes: release.bytes };
  }

  /** All places of an index answer alike: right bytes everywhere, or 404 everywhere. */
  async function walkIndex(file: ListedFile): Promise<void> {
    const parent = file.path.replace(/[^/]+$/, '');
    const canonicalPath = `dists/${suite}/${file.path}`;
    const byHashPaths = [...file.hashes].map(([table, hex]) => `dists/${suite}/${parent}by-hash/${table}/${hex}`);
    const answers = await Promise.all([canonicalPath, ...byHashPaths].map(async (path) => ({ path, answer: await ask(url, path) })));
    if (answers.every(({ answer }) => answer.status === 404)) {
      absent += 1;
      return;
    }
    for (const { path, answer } of answers) {
      const difference = answer.status === 200 ? differenceOf(file, answer.bytes) : `answer ${answer.status}`;
      if (difference !== null) faults.push(`${path}: ${difference}`);
      else if (path === canonicalPath) notePoolFiles(file.path, answer.bytes);
      else byHash.add(path);
    }
    indices += 1;
  }

  function notePoolFiles(path: string, bytes: Buffer): void {
    const extension = /\.(gz|xz|zst)$/.exec(path)?.[1] as 'gz' | 'xz' | 'zst' | undefined;
    const stem = extension === undefined ? path : path.slice(0, -extension.length - 1);
    if (!/(^|\/)(Packages|Sources)$/.test(stem)) return;
    const text = (extension === undefined ? bytes : uncompress(bytes, extension)).toString('utf8');
    for (const stanza of readStanzas(text)) {
      const filename = stanza.get('filename');
      if (filename !== undefined) pool.set(filename, { size: Number(stanza.get('size')), sha256: stanza.get('sha256') ?? '' });
      for (const line of (stanza.get('checksums-sha256') ?? '').split('\n')) {
        const [sha256, size, name] = line.trim().split(/\s+/);
        if (sha256 && name) pool.set(`${stanza.get('directory')}/${name}`, { size: Number(size), sha256 });
      }
    }
  }

  async function isRight(path: string, file: { readonly size: number; readonly sha256: string }): Promise<boolean> {
    const answer = await ask(url, path);
    const right = answer.status === 200 && answer.bytes.length === file.size && digest('sha256', answer.bytes) === file.sha256;
    if (!right)
      faults.push(`${path}: answer ${answer.status}, ${answer.bytes.length} bytes, expected ${file.size} with SHA-256 ${file.sha256}`);
    return right;
  }
}
