/**
 * The vocabulary of effects, on one screen. Each may be given twice, and may die between its effect
 * and its answer (I5); its own file says how.
 */
import { createCaptureSnapshot } from './capture/capture-snapshot.ts';
import { createLoadRoster } from './capture/load-roster.ts';
import { createRecordCaptureFailure } from './capture/record-capture-failure.ts';
import { heartbeating } from './context.ts';
import type { Deps } from './deps.ts';
import { failing } from './failure.ts';
import { createApplyOrder } from './lane/apply-order.ts';
import { createChecksumBlobs } from './lane/checksum-blobs.ts';
import { createPlanSync } from './lane/plan-sync.ts';
import { createProbeSite } from './lane/probe-site.ts';
import { createPublishSnapshot } from './lane/publish-snapshot.ts';
import { createRecordFailure } from './lane/record-failure.ts';
import { createSyncBlobs } from './lane/sync-blobs.ts';
import { createVerifySnapshot } from './lane/verify-snapshot.ts';
import { createLoadPrune } from './prune/load-prune.ts';
import { createPlanPrune } from './prune/plan-prune.ts';
import { createPruneBlobs } from './prune/prune-blobs.ts';
import { createPruneCatalog } from './prune/prune-catalog.ts';
import { createRecordPruneFailure } from './prune/record-prune-failure.ts';
import { createConfirmSite } from './scrub/confirm-site.ts';
import { createLoadScrub } from './scrub/load-scrub.ts';
import { createRecordScrubFailure } from './scrub/record-scrub-failure.ts';
import { createScrubSlice } from './scrub/scrub-slice.ts';

export type Activities = ReturnType<typeof createActivities>;

export const createActivities = (deps: Deps) => ({
  /** What the workflow decides on. Twice: reads again. */
  loadRoster: failing(heartbeating(createLoadRoster(deps))),
  /** Archive → catalog. Twice: the same Release set is the same generation. */
  captureSnapshot: failing(createCaptureSnapshot(deps)),
  /** Twice: counts one failure more, and so waits a little longer. */
  recordCaptureFailure: failing(heartbeating(createRecordCaptureFailure(deps))),
  /** An operator's command to one lane. Twice: commands the same. */
  applyOrder: failing(heartbeating(createApplyOrder(deps))),
  /** Twice: counts one failure more, and so waits a little longer. */
  recordFailure: failing(heartbeating(createRecordFailure(deps))),

  /**
   * Plans (catalog minus registry) and copies one slice. Twice: plans the same; conditional writes
   * find what is there, and nothing is written a second time.
   */
  syncBlobs: failing(createSyncBlobs(deps)),
  /** Reads one slice back. Twice: what was booked is not read again. */
  checksumBlobs: failing(createChecksumBlobs(deps)),
  /** The barrier. Twice: judges again. */
  verifySnapshot: failing(createVerifySnapshot(deps)),
  /**
   * Makes a generation visible, and reads the site as apt sees it. Twice: reads each name back and
   * goes on; finished, it writes nothing and only reads again.
   */
  publishSnapshot: failing(createPublishSnapshot(deps)),
  /** Parts of syncBlobs and publishSnapshot, for runs that began before these were joined. */
  planSync: failing(createPlanSync(deps)),
  probeSite: failing(createProbeSite(deps)),

  /** When a site is to be pruned. Twice: reads again. */
  loadPrune: failing(heartbeating(createLoadPrune(deps))),
  /** Catalog and registry: what the site may lose. Twice: marks no more than once. */
  planPrune: failing(createPlanPrune(deps)),
  /** Deletes one slice of what is marked. Twice: what is gone is gone. */
  pruneBlobs: failing(createPruneBlobs(deps)),
  /** Deletes from the catalog what no site needs. Twice: deletes the next part. */
  pruneCatalog: failing(createPruneCatalog(deps)),
  /** Twice: counts one failure more, and so waits a little longer. */
  recordPruneFailure: failing(heartbeating(createRecordPruneFailure(deps))),

  /** Whether a site is as the database believes. Twice: asks again. */
  confirmSite: failing(createConfirmSite(deps)),
  /** When a site is to be read back. Twice: reads again. */
  loadScrub: failing(heartbeating(createLoadScrub(deps))),
  /** Reads one slice of a site back, and books it. Twice: goes on behind what was booked. */
  scrubSlice: failing(createScrubSlice(deps)),
  /** Twice: counts one failure more, and so waits a little longer. */
  recordScrubFailure: failing(heartbeating(createRecordScrubFailure(deps))),
});
