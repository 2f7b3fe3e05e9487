/**
 * A snapshot: one immutable state of a distribution, as captured from its archive. Paths are
 * relative to the root of the archive (`dists/bookworm/main/binary-amd64/Packages.gz`,
 * `pool/main/h/hello/hello_1_amd64.deb`).
 */
import type { BlobSet } from './blob-set.ts';
import type { RepoPath } from './repo-path.ts';
import type { Sha256 } from './sha256.ts';

/**
 * The three files that say what a distribution is. Those that the archive lacks are null;
 * InRelease, or Release with Release.gpg, is there.
 */
export interface ReleaseSet {
  readonly inRelease: Uint8Array | null;
  readonly release: Uint8Array | null;
  readonly releaseGpg: Uint8Array | null;
}

/** An index that Release lists within the selection and that the archive has. */
export interface SnapshotIndex {
  readonly path: RepoPath;
  readonly size: number;
  readonly sha256: Sha256;
  /** `…/by-hash/SHA256/<hex>` and the same for every other hash that Release lists for it. */
  readonly byHashPaths: readonly RepoPath[];
}

export interface Snapshot {
  readonly releaseSet: ReleaseSet;
  /** Identity: SHA-256 of the signed body. */
  readonly bodySha256: Sha256;
  readonly date: Date | null;
  readonly validUntil: Date | null;
  /** Fingerprints of the pinned keys that signed, empty if unsigned was allowed. */
  readonly signers: readonly string[];
  /** Acquire-By-Hash: yes, and an InRelease: readers never see a torn distribution. */
  readonly untorn: boolean;
  readonly indices: readonly SnapshotIndex[];
  /** Listed within the selection and 404 at the archive: 404 at every site, too. */
  readonly absent: readonly RepoPath[];
  readonly poolFiles: BlobSet;
}

/** What is replicated of a distribution. Empty lists mean everything that Release names. */
export interface Selection {
  readonly components: readonly string[];
  readonly architectures: readonly string[];
}

/**
 * A path whose bytes change from release to release, with what one snapshot wants there; null: must
 * be absent.
 */
export interface PublishedName {
  readonly path: RepoPath;
  readonly sha256: Sha256 | null;
  readonly size: number;
}

/**
 * What the archive said of InRelease (or Release) last time, to be sent back as If-None-Match and
 * If-Modified-Since.
 */
export interface Validator {
  readonly etag: string | null;
  readonly lastModified: string | null;
}
