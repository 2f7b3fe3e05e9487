import type { DistributionRecord } from '../../src/database/catalog/distributions.ts';
import type { Settled } from '../../src/database/claims.ts';
import { endStep } from '../../src/database/registry/progress.ts';
import type { LaneAt, LaneKey } from '../../src/database/replication-row.ts';
import { startAttempt } from '../../src/database/replications/attempts.ts';
import { suiteFolder } from '../../src/domain/release.ts';
import type { Replication, Ticketed } from '../../src/domain/replication.ts';
import { releaseSetPaths, sitePath, type RepoPath } from '../../src/domain/repo-path.ts';
import type { Sha256 } from '../../src/domain/sha256.ts';
import type { SiteStore } from '../../src/site/site-store.ts';
import {
  activityContext,
  isWorkerStopping,
  withHeartbeat,
  type ActivityContext,
} from '../context.ts';
import type { Deps } from '../deps.ts';
import { claimSite } from '../site-claim.ts';
import { assertForward } from './lost-release.ts';

/** One step of a lane: ids only, never lists or bytes (I4). */
export interface StepInput extends LaneAt, Ticketed {
  readonly generation: number;
  /** Of syncBlobs: plan first, and say so in the answer (`planned`). */
  readonly plan?: boolean;
  /** Of publishSnapshot: read the site as apt would afterwards, which finishes the replication. */
  readonly probe?: boolean;
}

export interface StepAnswer {
  /** The slice ended before the work did, also because its worker stops. */
  readonly more: boolean;
  /** Blobs that are to be copied again before this step makes sense. */
  readonly repair: number;
  /** As committed last. */
  readonly row: Replication;
  /** Of syncBlobs: what the site lacks is planned. */
  readonly planned?: boolean;
  /** Nothing was done: the row that the workflow decided on is not so any more, `row` is. */
  readonly stale?: true;
}

/** Of syncBlobs: the database did not answer, and nothing was done. */
export interface Unanswered {
  readonly more: true;
  readonly repair: 0;
  readonly row?: undefined;
  readonly planned?: undefined;
  readonly stale?: undefined;
}

/** What an activity knows of its step once it holds its claim. */
export interface Step {
  readonly at: LaneAt;
  readonly key: LaneKey;
  /** As it was when the attempt began. */
  readonly row: Replication;
  /** R of the release that is visible at the site, where this database lost it. */
  readonly lost: Sha256 | null;
  readonly distribution: DistributionRecord;
  readonly context: ActivityContext;
  /** To be called with what was settled since: heartbeats show it. */
  settle(by: Settled): void;
}

/** A step whose site this worker can reach. */
export interface SiteStep extends Step {
  readonly store: SiteStore;
  readonly publicUrl: string;
  /** Where a path of the archive stands at the site. */
  placeOf(path: RepoPath): RepoPath;
}

/**
 * Runs an attempt of a step: all that it writes is conditional on the claim that it takes here, and
 * that ends with it. `work` ends the claim itself, with what it commits last, unless it throws.
 * Heartbeats from the beginning: a capture may hold the distribution's row for as long as it takes
 * to save a large snapshot.
 *
 * A step that is cut because its worker stops ends well; so does one that the workflow decided on
 * with a row that is not so any more.
 * @throws FENCED, CANCELLED, NAME_UNKNOWN
 */
export async function inStep(
  deps: Deps,
  input: StepInput,
  work: (step: Step) => Promise<StepAnswer>,
  options: { readonly takesVerify?: boolean } = {},
): Promise<StepAnswer> {
  const context = activityContext();
  const { distribution, site, generation, ticket = null } = input;
  const at = { distribution, site };
  const begun = await withHeartbeat(
    context,
    () => ({}),
    () => startAttempt(deps.database, at, { generation, ticket, ...context, ...options }),
  );
  if ('stale' in begun) return { stale: true, more: true, repair: 0, row: begun.stale };

  const { filesDone, filesTotal, bytesDone, bytesTotal } = begun.row;
  const counts = { filesDone, filesTotal, bytesDone, bytesTotal };
  const settle = ({ files, bytes }: Settled): void => {
    counts.filesDone += files;
    counts.bytesDone += bytes;
  };
  try {
    return await withHeartbeat(
      context,
      () => counts,
      () => work({ ...begun, at, context, settle }),
    );
  } catch (error) {
    const ended = await endStep(deps.database, begun.key).catch((cause: unknown) => {
      deps.log.warn({ ...at, cause }, 'a claim stays until the next attempt ends it');
    });
    if (isWorkerStopping(context)) return { more: true, repair: 0, row: ended ?? begun.row };
    throw error;
  }
}

/**
 * The first step of a lane at a site that is not claimed claims it.
 * @throws SITE_CREDENTIAL_MISSING
 * @throws SITE_TAKEN another deployment has claimed it, or another program's release is there
 * @throws SITE_AHEAD the site shows a newer release than the generation, which this database lost
 */
export async function atSite(deps: Deps, step: Step): Promise<SiteStep> {
  const { key, distribution } = step;
  const { store, publicUrl, anchorEtag } = await deps.siteOf(
    step.at.site,
    distribution.archive.name,
  );
  const { mount } = distribution.archive;
  const placeOf = (path: RepoPath): RepoPath => sitePath(mount, path);
  if (anchorEtag === null) {
    const { signal } = step.context;
    const [inRelease, release] = releaseSetPaths(suiteFolder(distribution.suite)).map(placeOf);
    const claimant = { database: deps.database, store, siteId: key.siteId, signal };
    await claimSite(claimant, [inRelease!, release!]);
  }
  const there = { ...step, store, publicUrl, placeOf };
  // before anything is copied: a file that only the visible release names may stand where an older
  // one named another
  if (step.lost !== null) await assertForward(deps.database, there);
  return there;
}
