/**
 * Speaks to one archive. Absent, invalid and unreachable are different answers: absent is null or
 * `absent`, the rest throws DebgeoError.
 *
 * Every implementation passes test/archive/archive-contract.ts. All paths are relative to the
 * archive's root and were validated as RepoPath. Every call ends by itself: at the abort of
 * `signal`, after LIMITS.answerMs without an answer, LIMITS.stallMs without a byte, or when slower
 * than LIMITS.bytesPerSecondMin. Only waiting for the archive counts: a reader may take its time
 * between two chunks. A Release set takes at most LIMITS.fetchMs. An abort throws an AbortError
 * (`name`), before and while reading.
 *
 * Errors of all calls: ARCHIVE_UNREACHABLE, ARCHIVE_SLOW, ARCHIVE_THROTTLED (with retryAfterMs),
 * ARCHIVE_DENIED, ARCHIVE_REDIRECT, ADDRESS_REFUSED; of a folder HOSTILE_PATH, too (a link that
 * leaves it, or no regular file), ARCHIVE_CHANGING (a file that changes in place while it is read)
 * and REFERENCE_REFUSED (it lies elsewhere than the worker reads archives).
 */
import type { RepoPath } from '../domain/repo-path.ts';
import type { ReleaseSet, Validator } from '../domain/snapshot.ts';

export interface Archive {
  /**
   * Fetches InRelease, and Release and Release.gpg where the archive has them.
   *
   * With a validator this is one conditional request for InRelease (for Release where the archive
   * has no InRelease); `unchanged` ends it there.
   * @param suiteFolder `dists/bookworm`; for flat archives the folder itself, `.` for the root
   * @throws RELEASE_MISSING neither InRelease nor Release
   * @throws LIMIT_EXCEEDED a file beyond LIMITS.releaseBytes
   */
  fetchReleaseSet(
    suiteFolder: string,
    validator: Validator | null,
    signal: AbortSignal,
  ): Promise<'unchanged' | { releaseSet: ReleaseSet; validator: Validator }>;

  /**
   * Opens a file for streaming; null if the archive does not have it (404 or 410). The stream ends
   * with an error when the connection breaks, stalls or passes `sizeMax` bytes (LIMIT_EXCEEDED);
   * what is in it is not checked here. Over HTTP a file that may have no byte may also be answered
   * with 204; for any other file that is ARCHIVE_UNREACHABLE.
   * @param sizeMax the size that an index lists; a longer file is another one
   */
  open(
    path: RepoPath,
    sizeMax: number,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array> | null>;

  /** Frees the connections that rest; what is being read is read to its end. */
  close(): Promise<void>;
}
