import {
  readDistribution,
  type DistributionRecord,
} from '../../src/database/catalog/distributions.ts';
import type { LaneAt, LaneKey } from '../../src/database/replication-row.ts';
import { startAttempt } from '../../src/database/replications/attempts.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import type { Replication } from '../../src/domain/replication.ts';
import { sitePath, type RepoPath } from '../../src/domain/repo-path.ts';
import type { SiteStore } from '../../src/site/site-store.ts';
import { activityContext, withHeartbeat, type ActivityContext } from '../context.ts';
import type { Deps } from '../deps.ts';

/** One step of a lane: ids only, never lists or bytes (I4). */
export interface StepInput extends LaneAt {
  readonly generation: number;
  /** Of syncBlobs: plan first, and say so in the answer (`planned`). */
  readonly plan?: boolean;
  /** Of publishSnapshot: read the site as apt would afterwards, which finishes the replication. */
  readonly probe?: boolean;
}

export interface StepAnswer {
  /** The slice ended before the work did. */
  readonly more: boolean;
  /** Blobs that are to be copied again before this step makes sense. */
  readonly repair: number;
  /** As committed last. */
  readonly row: Replication;
  /** Of syncBlobs: what the site lacks is planned. */
  readonly planned?: boolean;
}

/** Of syncBlobs: the database did not answer, and nothing was done. */
export interface Unanswered {
  readonly more: true;
  readonly repair: 0;
  readonly row?: undefined;
  readonly planned?: undefined;
}

/** What an activity knows of its step once it holds the fence. */
export interface Step {
  readonly at: LaneAt;
  readonly key: LaneKey;
  readonly row: Replication;
  readonly distribution: DistributionRecord;
  readonly context: ActivityContext;
}

/** A step whose site this worker can reach. */
export interface SiteStep extends Step {
  readonly store: SiteStore;
  readonly publicUrl: string;
  /** Where a path of the archive stands at the site. */
  placeOf(path: RepoPath): RepoPath;
}

/**
 * Begins an attempt of a step: all that it writes is conditional on the fence that it takes here.
 * Heartbeats: a capture may hold the distribution's row for as long as it takes to save a large
 * snapshot.
 * @throws FENCED, CANCELLED, NAME_UNKNOWN
 */
export function beginStep(deps: Deps, input: StepInput): Promise<Step> {
  const context = activityContext();
  const at = { distribution: input.distribution, site: input.site };
  const start = async (): Promise<Step> => {
    const { key, row } = await startAttempt(deps.database, at, input.generation, context.attempt);
    const distribution = await readDistribution(deps.database.read, at.distribution);
    if (distribution === null)
      throw new DebgeoError('NAME_UNKNOWN', `the distribution ${at.distribution} was removed`);
    return { at, key, row, distribution, context };
  };
  return withHeartbeat(context, () => ({}), start);
}

/** @throws FENCED, CANCELLED, NAME_UNKNOWN, SITE_CREDENTIAL_MISSING */
export async function beginSiteStep(deps: Deps, input: StepInput): Promise<SiteStep> {
  const step = await beginStep(deps, input);
  const { store, publicUrl } = await deps.siteOf(input.site, step.distribution.archive.name);
  return {
    ...step,
    store,
    publicUrl,
    placeOf: (path) => sitePath(step.distribution.archive.mount, path),
  };
}

/** What a heartbeat shows of the lane's row. */
export const countsOf = (row: Replication): Record<string, number> => ({
  filesDone: row.filesDone,
  filesTotal: row.filesTotal,
  bytesDone: row.bytesDone,
  bytesTotal: row.bytesTotal,
});
