/** The archive of the model, in memory: two suites in one pool, and what each has released last. */
import type { Archive } from '../../src/archive/archive.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import type { RepoPath } from '../../src/domain/repo-path.ts';
import { sha256Of, type Sha256 } from '../../src/domain/sha256.ts';
import { inReleasePath, type Release, type Suite } from './releases.ts';

export class MemoryArchive implements Archive {
  readonly current = new Map<Suite, Release>();
  /** It answers nothing. */
  isDown = false;
  /** Its Release sets are not as they were signed. */
  isForged = false;
  #files = new Map<RepoPath, Buffer>();

  clone(): MemoryArchive {
    const copy = new MemoryArchive();
    for (const [suite, release] of this.current) copy.current.set(suite, release);
    copy.#files = new Map(this.#files);
    return copy;
  }

  /** Files that no suite names any more stay, unless `drops`. */
  release(release: Release, drops: boolean): void {
    this.current.set(release.suite, release);
    const folder = `dists/${release.suite}/`;
    for (const path of this.#files.keys())
      if (path.startsWith(folder) && !path.includes('/by-hash/')) this.#files.delete(path);
    if (drops) this.#drop();
    for (const [path, bytes] of release.files) this.#files.set(path, bytes);
  }

  has(path: RepoPath, sha256: Sha256): boolean {
    const bytes = this.#files.get(path);
    return bytes !== undefined && sha256Of(bytes) === sha256;
  }

  #drop(): void {
    const named = [...this.current.values()].map(({ files }) => files);
    for (const path of this.#files.keys())
      if (!named.some((files) => files.has(path))) this.#files.delete(path);
  }

  fetchReleaseSet: Archive['fetchReleaseSet'] = async (suiteFolder, validator) => {
    this.#answer();
    const at = (name: string): Buffer | null =>
      this.#files.get(`${suiteFolder}/${name}` as RepoPath) ?? null;
    const release = [...this.current.values()].find(
      ({ suite }) => inReleasePath(suite) === `${suiteFolder}/InRelease`,
    );
    if (release === undefined) throw new DebgeoError('RELEASE_MISSING', 'nothing was released');
    const etag = `"${release.inRelease}"`;
    if (validator?.etag === etag) return 'unchanged';
    const releaseSet = {
      inRelease: at('InRelease'),
      release: at('Release'),
      releaseGpg: at('Release.gpg'),
    };
    return {
      releaseSet: this.isForged ? forged(releaseSet) : releaseSet,
      validator: { etag, lastModified: null },
    };
  };

  open: Archive['open'] = async (path) => {
    this.#answer();
    const bytes = this.#files.get(path);
    if (bytes === undefined) return null;
    return (async function* body() {
      yield bytes;
    })();
  };

  close = (): Promise<void> => Promise.resolve();

  #answer(): void {
    if (this.isDown) throw new DebgeoError('ARCHIVE_UNREACHABLE', 'the archive does not answer');
  }
}

type Files = Record<'inRelease' | 'release' | 'releaseGpg', Buffer | null>;

function forged({ releaseGpg, ...signed }: Files): Files {
  const change = (bytes: Buffer | null): Buffer | null =>
    bytes && Buffer.from(bytes.toString().replace('Label: debgeo', 'Label: forged'));
  return { inRelease: change(signed.inRelease), release: change(signed.release), releaseGpg };
}
