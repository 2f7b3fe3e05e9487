import type { Archive } from '../../src/archive/archive.ts';
import type { DistributionRecord } from '../../src/database/catalog/distributions.ts';
import type { StoredSnapshot } from '../../src/database/catalog/snapshots.ts';
import type { DebgeoError } from '../../src/domain/errors.ts';
import type { GoodSignature } from '../../src/domain/key-expiry.ts';
import type { Release, ReleaseEntry } from '../../src/domain/release.ts';
import type { RepoPath } from '../../src/domain/repo-path.ts';
import type { Sha256 } from '../../src/domain/sha256.ts';
import type { ReleaseSet } from '../../src/domain/snapshot.ts';
import type { Deps } from '../deps.ts';

/** What one capture works with. */
export interface Capture {
  readonly deps: Deps;
  readonly record: DistributionRecord;
  /** The newest generation when the look began. */
  readonly newest: StoredSnapshot | null;
  /** Id of the operator's acceptance of an older release, for this look; null: none. */
  readonly olderAcceptance: number | null;
  readonly archive: Archive;
  readonly folder: string;
  readonly signal: AbortSignal;
  /** For the heartbeats. */
  readonly counts: { listed: number; fetched: number; read: number; poolFiles: number };
}

/** A Release set that was authenticated and judged fresh, with the entries that are selected. */
export interface AcceptedRelease {
  /** As the archive has it: compared again later, to see whether the archive released meanwhile. */
  readonly fetched: ReleaseSet;
  /** What is saved, and served: without the files that do not match InRelease. */
  readonly releaseSet: ReleaseSet;
  readonly signers: readonly string[];
  readonly signatures: readonly GoodSignature[];
  readonly bodySha256: Sha256;
  readonly release: Release;
  readonly entries: readonly { readonly path: RepoPath; readonly entry: ReleaseEntry }[];
}

/** `expected` and `found` of an error, to wrap it with a file name. */
export const expectedAndFound = ({
  report: { expected, found },
}: DebgeoError): { expected?: string; found?: string } => ({
  ...(expected === undefined ? {} : { expected }),
  ...(found === undefined ? {} : { found }),
});
