import type { Sha256 } from './sha256.ts';

/**
 * What was read back: all bytes of one version of a blob, hashed. Metadata and MD5 headers are
 * never trusted.
 */
export interface Checksum {
  readonly etag: string;
  readonly size: number;
  readonly sha256: Sha256;
  /** Milliseconds since 1970, whole seconds. */
  readonly lastModified: number;
}
