/**
 * The objects of one site. Every implementation passes test/site/site-store-contract.ts.
 *
 * A path is relative to the site's prefix: `<mount>/<repo path>`, e.g.
 * `debian/pool/main/h/hello/hello_1_amd64.deb`. Before any request the implementation compares the
 * name that really goes out with the prefix and the intended path (I7; the SDK would let `..` leave
 * the container).
 *
 * Writes are conditional and idempotent; an unknown outcome is `conflict`, to be resolved by
 * looking (I5). Nothing becomes visible before all of its bytes were there and hashed to what was
 * announced. Every request has a deadline and a stall watchdog, and ends with `signal`.
 *
 * Errors of all calls: SITE_UNREACHABLE, SITE_THROTTLED (with retryAfterMs), SITE_STALLED,
 * SITE_DENIED, SITE_CONTAINER_MISSING, SITE_REFUSED, ADDRESS_REFUSED.
 */
import type { Checksum } from '../domain/checksum.ts';
import type { RepoPath } from '../domain/repo-path.ts';
import type { Sha256 } from '../domain/sha256.ts';

/** What must be at the path for a write to happen: an ETag, or nothing at all. */
export type Expected = { readonly etag: string } | 'nothing';

export interface BlobContent {
  /** bytes */
  readonly size: number;
  readonly sha256: Sha256;
  /**
   * Of these bytes, where it is known already, asked for with the first of them; reckoned
   * otherwise. The site compares what arrives with it.
   */
  readonly md5?: () => Uint8Array | null;
  /**
   * Read once, from the start, when there is room for them in memory and before anything is asked
   * of the site. May be a whole buffer in one piece.
   */
  readonly bytes: AsyncIterable<Uint8Array>;
  readonly contentType: string;
  readonly cacheControl: string;
}

export interface Written {
  readonly etag: string;
  readonly lastModified: number;
  /** The site's clock when it answered, milliseconds since 1970. */
  readonly siteClock: number;
}

export interface SiteStore {
  readonly site: string;

  /**
   * Writes a blob if what is there is what is expected.
   * @returns `conflict` when something else is there, also when an earlier try of this call got
   *   through unseen (Azurite: 409 and 412): look
   * @throws BLOB_MISMATCH the bytes given do not have the size or SHA-256 announced; nothing was
   *   written
   */
  put(
    path: RepoPath,
    content: BlobContent,
    expected: Expected,
    signal: AbortSignal,
  ): Promise<Written | 'conflict'>;

  /**
   * Reads all bytes of a blob and hashes them; null if there is none. With `etag`, `changed` if it
   * is another version by now.
   */
  checksum(
    path: RepoPath,
    signal: AbortSignal,
    etag?: string,
  ): Promise<Checksum | 'changed' | null>;

  /**
   * Opens a blob for streaming, bound to one version; null if there is none. A broken body is an
   * error of the iteration, never an end.
   */
  open(
    path: RepoPath,
    signal: AbortSignal,
  ): Promise<{
    readonly etag: string;
    readonly size: number;
    readonly bytes: AsyncIterable<Uint8Array>;
  } | null>;

  /** Deletes a blob if it is still the version named; deleted and absent are the same answer. */
  remove(path: RepoPath, etag: string, signal: AbortSignal): Promise<'gone' | 'conflict'>;
}
