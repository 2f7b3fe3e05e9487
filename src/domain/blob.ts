import type { RepoPath } from './repo-path.ts';
import type { Sha256 } from './sha256.ts';

/** An immutable file: a pool file, or an index at one by-hash path. */
export interface Blob {
  readonly path: RepoPath;
  readonly size: number;
  readonly sha256: Sha256;
}
