/**
 * The objects that debgeo keeps at a site beside the archives, format 1: docs/site-format.md. What
 * they say may stop debgeo at that site, and do nothing else.
 */
import type { Deployment } from '../domain/deployment.ts';
import { DebgeoError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import type { RepoPath } from '../domain/repo-path.ts';
import { sha256Of, type Sha256 } from '../domain/sha256.ts';
import type { ReleaseSet, Selection } from '../domain/snapshot.ts';
import type { SuiteAt } from './paths.ts';

export const FORMAT = 1;

/** S */
export interface SiteAnchor {
  readonly deployment: Deployment;
  /** Each suite of which an H is or may be there: nothing is ever listed. */
  readonly heads: readonly SuiteAt[];
}

/** R: all that is needed to know the release again without the database. */
export interface ReleaseAnchor extends SuiteAt {
  readonly selection: Selection;
  readonly releaseSet: ReleaseSet;
  /** Listed within the selection, and not there at the archive. */
  readonly absent: readonly RepoPath[];
  /** R of the release before at this site; null: the first one. */
  readonly previous: Sha256 | null;
}

/** H */
export interface HeadAnchor {
  readonly deployment: Deployment;
  /** R of the release that is visible at most. */
  readonly release: Sha256;
  /** R of the release that is visible at least, until InRelease has been written. */
  readonly previous: Sha256 | null;
  /** How often files were deleted at the site before this was written. */
  readonly pruned: number;
}

/** An object as it is stored, and its digest. */
export interface Encoded {
  readonly bytes: Uint8Array;
  readonly sha256: Sha256;
}

export const encodeSite = ({ deployment: { id, epoch }, heads }: SiteAnchor): Encoded =>
  encode({
    format: FORMAT,
    deployment: id,
    epoch,
    heads: heads.map(({ mount, suite }) => ({ mount, suite })),
  });

export const encodeHead = ({ deployment, ...head }: HeadAnchor): Encoded => {
  const { id, epoch } = deployment;
  const { release, previous, pruned } = head;
  return encode({ format: FORMAT, deployment: id, epoch, release, previous, pruned });
};

/** @throws LIMIT_EXCEEDED a Release set of more than 11 MiB: sid has 0.4 */
export function encodeRelease(anchor: ReleaseAnchor): Encoded {
  const { mount, suite, selection, releaseSet, absent, previous } = anchor;
  const base64 = (file: Uint8Array | null): string | null =>
    file === null ? null : Buffer.from(file).toString('base64');
  return encode({
    format: FORMAT,
    mount,
    suite,
    components: selection.components,
    architectures: selection.architectures,
    inRelease: base64(releaseSet.inRelease),
    release: base64(releaseSet.release),
    releaseGpg: base64(releaseSet.releaseGpg),
    absent,
    previous,
  });
}

function encode(fields: object): Encoded {
  const bytes = Buffer.from(`${JSON.stringify(fields)}\n`);
  if (bytes.length > LIMITS.anchorBytes)
    throw new DebgeoError('LIMIT_EXCEEDED', 'the record of a release at its site is too large', {
      expected: `at most ${LIMITS.anchorBytes} bytes`,
      found: `${bytes.length} bytes`,
    });
  return { bytes, sha256: sha256Of(bytes) };
}
