import type { Archive } from '../../src/archive/archive.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import { sitePath, type RepoPath } from '../../src/domain/repo-path.ts';
import type { ReleaseSet } from '../../src/domain/snapshot.ts';
import type { SiteStore } from '../../src/site/site-store.ts';

/**
 * A release as a site has it, to be read as that of an archive is: its Release set, which R holds,
 * and the files below the mount. What the site lacks is asked of the archive itself: each byte is
 * compared with what the Release says, wherever it comes from.
 */
export class SiteArchive implements Archive {
  readonly #store: SiteStore;
  readonly #mount: string;
  readonly #releaseSet: ReleaseSet;
  readonly #behind: Archive;

  constructor(store: SiteStore, mount: string, releaseSet: ReleaseSet, behind: Archive) {
    this.#store = store;
    this.#mount = mount;
    this.#releaseSet = releaseSet;
    this.#behind = behind;
  }

  /** R never changes: so the release does not, while it is read. */
  fetchReleaseSet(): ReturnType<Archive['fetchReleaseSet']> {
    return Promise.resolve({
      releaseSet: this.#releaseSet,
      validator: { etag: null, lastModified: null },
    });
  }

  async open(
    path: RepoPath,
    sizeMax: number,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array> | null> {
    const place = sitePath(this.#mount, path);
    const found = await this.#store.open(place, signal);
    if (found === null) return this.#behind.open(path, sizeMax, signal);
    if (found.size <= sizeMax) return found.bytes;
    for await (const _ of found.bytes) break;
    throw new DebgeoError('LIMIT_EXCEEDED', `${place} is too large`, {
      expected: `at most ${sizeMax} bytes`,
      found: `${found.size} bytes`,
    });
  }

  /** Store and archive belong to others. */
  close(): Promise<void> {
    return Promise.resolve();
  }
}
