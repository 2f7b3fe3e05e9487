/**
 * Where the bytes of a blob come from, best first. `syncBlobs` reads through this, so that a spool
 * that reads once for many sites can be put in without touching the lanes.
 */
import type { WantedBlob } from '../../src/database/registry/claims.ts';

export interface BlobBytes {
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Where it is known already: each site is sent it. */
  readonly md5: Uint8Array | null;
}

export interface BlobOrigin {
  /** `capture`, `archive`, `site fra`: for messages and the record of repairs. */
  readonly name: string;
  /**
   * Null if it is not there. Errors are those of Archive and SiteStore. Bytes are unchecked: the
   * site's store hashes them before they are visible.
   */
  open(signal: AbortSignal): Promise<BlobBytes | null>;
  /** Told that the bytes were not those of the blob. */
  reject?(): void;
}

export interface BlobSource {
  /**
   * The places to try for one blob at one site, best first. A later one is looked up only when it
   * is asked for: most blobs need only the first.
   */
  originsOf(blob: WantedBlob): AsyncIterable<BlobOrigin>;
}
