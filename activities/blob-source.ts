/**
 * Where the bytes of a blob come from, best first. `copyBlob` reads through this interface: whether
 * a spool stands between it and the archive is no concern of it.
 */
import type { WantedBlob } from '../src/database/registry/claims.ts';

export interface BlobBytes {
  readonly bytes: AsyncIterable<Uint8Array>;
  /** MD5 of the bytes if the spool has it; sent to every site as Content-MD5. */
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
  /** To be called when the bytes were not those of the blob: the spool forgets them. */
  reject?(): void;
}

export interface BlobSource {
  /**
   * The places to try for one blob at one site, best first. A later one is looked up only when it
   * is asked for: most blobs need only the first.
   */
  originsOf(blob: WantedBlob): AsyncIterable<BlobOrigin>;
}
