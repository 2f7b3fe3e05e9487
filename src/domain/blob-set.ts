import type { Blob } from './blob.ts';
import { DebgeoError } from './errors.ts';
import { LIMITS } from './limits.ts';
import { ambiguous, foldPath, type RepoPath } from './repo-path.ts';
import { SHA256_BYTES, type Sha256 } from './sha256.ts';

/** What bounds a BlobSet: LIMITS of these names. A test sets smaller ones. */
export type BlobSetLimits = Record<'snapshotBlobs' | 'snapshotNamings', number>;

/** Some blobs of a set, in columns: what one statement can take. */
export interface BlobColumns {
  readonly paths: readonly RepoPath[];
  readonly sizes: readonly number[];
  /** One behind the other, SHA256_BYTES each. */
  readonly digests: Uint8Array;
}

const BLOBS_PER_PIECE = 2_000;

/**
 * The blobs of a snapshot by path. Indices may name a file as often as they like (up to a bound),
 * but not as two different ones; and two files may not have names that some file systems take for
 * one.
 *
 * Held in columns, digests as bytes: as objects with hexadecimal digits they take more than twice
 * the memory.
 */
export class BlobSet {
  /** The place in the columns, in the order in which they came. */
  readonly #places = new Map<RepoPath, number>();
  readonly #sizes: number[] = [];
  /** Of BLOBS_PER_PIECE blobs each. */
  readonly #digests: Buffer[] = [];
  /** By its fold, each path that is not its own fold. */
  readonly #folded = new Map<string, RepoPath>();
  readonly #published: ReadonlySet<string>;
  readonly #limits: BlobSetLimits;
  #namings = 0;
  #bytes = 0;

  /** @param publishedPaths  paths that change from release to release, at which no blob may lie */
  constructor(publishedPaths: Iterable<RepoPath> = [], limits: BlobSetLimits = LIMITS) {
    this.#published = new Set([...publishedPaths].map(foldPath));
    this.#limits = limits;
  }

  /**
   * @throws INDEX_CONTRADICTION the path is there with another digest or size
   * @throws PATH_AMBIGUOUS another file is there, at a path that differs in case or Unicode
   *   normalisation only
   * @throws HOSTILE_PATH the path is a published name
   * @throws LIMIT_EXCEEDED more than LIMITS.snapshotBlobs, or named more often than
   *   LIMITS.snapshotNamings
   */
  add(blob: Blob): void {
    if (++this.#namings > this.#limits.snapshotNamings)
      throw tooMany('name files too often', this.#limits.snapshotNamings);
    const known = this.#places.get(blob.path);
    if (known !== undefined) {
      if (this.#isAt(known, blob)) return;
      throw new DebgeoError('INDEX_CONTRADICTION', `${blob.path} is named twice, differently`, {
        expected: `${this.#digestAt(known)} ${this.#sizes[known]}`,
        found: `${blob.sha256} ${blob.size}`,
      });
    }
    const fold = foldPath(blob.path);
    if (this.#published.has(fold)) {
      throw new DebgeoError('HOSTILE_PATH', 'an index names a pool file at the path of an index', {
        expected: 'a path of its own',
        found: blob.path,
      });
    }
    const twin = (this.#folded.get(fold) ?? fold) as RepoPath;
    const twinPlace = twin === blob.path ? undefined : this.#places.get(twin);
    if (twinPlace !== undefined && !this.#isAt(twinPlace, blob)) throw ambiguous(blob.path, twin);
    if (this.size >= this.#limits.snapshotBlobs)
      throw tooMany('name too many files', this.#limits.snapshotBlobs);
    if (fold !== blob.path) this.#folded.set(fold, blob.path);
    this.#append(blob);
  }

  get size(): number {
    return this.#sizes.length;
  }

  /** Of all blobs together. */
  get bytes(): number {
    return this.#bytes;
  }

  has(path: RepoPath): boolean {
    return this.#places.has(path);
  }

  /** All blobs, some at a time. */
  *pieces(): Generator<BlobColumns, void, undefined> {
    let paths: RepoPath[] = [];
    let from = 0;
    for (const path of this.#places.keys()) {
      if (paths.push(path) < BLOBS_PER_PIECE && from + paths.length < this.size) continue;
      const digests = this.#digests[from / BLOBS_PER_PIECE]!.subarray(
        0,
        paths.length * SHA256_BYTES,
      );
      yield { paths, sizes: this.#sizes.slice(from, from + paths.length), digests };
      from += paths.length;
      paths = [];
    }
  }

  #append(blob: Blob): void {
    const place = this.size;
    if (place % BLOBS_PER_PIECE === 0)
      this.#digests.push(Buffer.allocUnsafeSlow(BLOBS_PER_PIECE * SHA256_BYTES));
    this.#digests.at(-1)!.write(blob.sha256, (place % BLOBS_PER_PIECE) * SHA256_BYTES, 'hex');
    this.#sizes.push(blob.size);
    this.#places.set(blob.path, place);
    this.#bytes += blob.size;
  }

  #digestAt(place: number): Sha256 {
    const from = (place % BLOBS_PER_PIECE) * SHA256_BYTES;
    return this.#digests[Math.floor(place / BLOBS_PER_PIECE)]!.toString(
      'hex',
      from,
      from + SHA256_BYTES,
    ) as Sha256;
  }

  #isAt(place: number, blob: Blob): boolean {
    return this.#sizes[place] === blob.size && this.#digestAt(place) === blob.sha256;
  }
}

function tooMany(what: string, max: number): DebgeoError {
  return new DebgeoError('LIMIT_EXCEEDED', `the indices ${what}`, {
    expected: `at most ${max}`,
    found: 'more',
  });
}
