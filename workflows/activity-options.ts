/**
 * How long each activity may take, what repeats it, and where it runs. One table, with the reason
 * of each number.
 *
 * What repeats it: an error with a code is non-retryable for Temporal; the lane commits it and
 * waits for the deadline that the row then holds, so that status and signals see it. Temporal
 * repeats an activity that failed without a code: its worker was lost or hung, or it has a bug.
 */
import {
  ActivityCancellationType,
  proxyActivities,
  type ActivityInterfaceFor,
  type ActivityOptions,
} from '@temporalio/workflow';

import type { Activities } from '../activities/index.ts';

const ALWAYS = {
  /**
   * Not the default, TRY_CANCEL: a lane would report "stopped" while its activity still writes.
   */
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
} satisfies ActivityOptions;

/**
 * Activities heartbeat once a second: Temporal notices a killed worker after ten, also one that was
 * given the activity and never began it, and a cancel reaches an activity with its next heartbeat.
 * A worker may be too busy to send any for some seconds.
 */
const HEARTBEAT = '10s';

/**
 * A few rows of PostgreSQL. Repeated for ever: without the database there is nothing else to do.
 * What it refuses has a code and is not repeated (activities/failure.ts, record.ts).
 */
const BOOKKEEPING: ActivityOptions = {
  ...ALWAYS,
  startToCloseTimeout: '20s', // time for a lock that another transaction holds
  heartbeatTimeout: HEARTBEAT, // a worker that was killed or froze idles a lane no longer than this
  retry: { initialInterval: '1s', maximumInterval: '30s' },
};

/** PostgreSQL too, but every row of a snapshot. */
const WHOLE_SNAPSHOT: ActivityOptions = {
  ...ALWAYS,
  startToCloseTimeout: '10m', // two million rows (LIMITS.snapshotBlobs) on a slow disk
  heartbeatTimeout: HEARTBEAT,
  retry: { initialInterval: '1s', maximumInterval: '30s' },
};

/**
 * An archive or a site. Three attempts outlast a restart of the worker; an activity that fails
 * three times without a code is recorded by its lane.
 */
const BYTES: ActivityOptions = {
  ...ALWAYS,
  // a slice lasts 20 s, but one file of 1.5 GB at 2 Mbit/s takes 1.7 h, and no slice ends inside a
  // file
  startToCloseTimeout: '2h',
  heartbeatTimeout: HEARTBEAT,
  retry: { initialInterval: '1s', maximumAttempts: 3 },
};

/**
 * loadRoster, recordCaptureFailure, applyOrder, recordFailure, loadPrune, recordPruneFailure,
 * loadScrub, recordScrubFailure: on the queue of the workflow.
 */
export const bookkeeping = proxyActivities<Activities>(BOOKKEEPING);

/**
 * captureSnapshot: on the queue of its archive, so that one which sends a byte a second holds up no
 * other. Undefined: on the queue of the workflow, as before 2026-11-30.
 */
export const archiveOn = (
  queue: string | undefined,
): Pick<ActivityInterfaceFor<Activities>, 'captureSnapshot'> =>
  proxyActivities<Activities>(queue === undefined ? BYTES : { ...BYTES, taskQueue: queue });

/**
 * The steps of a lane, in this order. Planning and probing are activities of their own only in runs
 * that began before they were joined to copying and publishing.
 */
export const STEPS = [
  'planSync',
  'syncBlobs',
  'checksumBlobs',
  'verifySnapshot',
  'publishSnapshot',
  'probeSite',
] as const;
export type StepName = (typeof STEPS)[number];

/** Copying plans first, and publishing probes afterwards. */
export const JOINED_STEPS: readonly StepName[] = STEPS.filter(
  (step) => step !== 'planSync' && step !== 'probeSite',
);

/** As the Temporal UI shows it. */
export const STEP_WORDS: Readonly<Record<StepName, string>> = {
  planSync: 'plan what is missing',
  syncBlobs: 'copy blobs',
  checksumBlobs: 'read blobs back',
  verifySnapshot: 'judge that all are verified',
  publishSnapshot: 'publish',
  probeSite: 'read the site as apt would',
};

const wholeSnapshot = proxyActivities<Activities>(WHOLE_SNAPSHOT);

/**
 * Steps that touch a site run on the queue of the workers that can reach it, the others on the
 * queue of the workflow.
 */
export const stepsFor = (siteQueue: string): Pick<ActivityInterfaceFor<Activities>, StepName> => {
  const site = proxyActivities<Activities>({ ...BYTES, taskQueue: siteQueue });
  return {
    planSync: wholeSnapshot.planSync,
    syncBlobs: site.syncBlobs,
    checksumBlobs: site.checksumBlobs,
    verifySnapshot: wholeSnapshot.verifySnapshot,
    publishSnapshot: site.publishSnapshot,
    probeSite: site.probeSite,
  };
};

/** The steps of a prune, in this order. */
export const pruneStepsFor = (
  siteQueue: string,
): Pick<ActivityInterfaceFor<Activities>, 'planPrune' | 'pruneBlobs' | 'pruneCatalog'> => {
  // A prune cannot be cancelled, as a lane can. Where no worker polls the queue (any more), the
  // activity times out, which is recorded; the next run takes the queue from the row.
  const { planPrune, pruneBlobs } = atSite(siteQueue);
  return { planPrune, pruneBlobs, pruneCatalog: wholeSnapshot.pruneCatalog };
};

/** The step of a scrub, and the question before it; what is said of pruneBlobs is true of both. */
export const scrubStepOn = (
  siteQueue: string,
): Pick<ActivityInterfaceFor<Activities>, 'scrubSlice' | 'confirmSite'> => atSite(siteQueue);

const atSite = (siteQueue: string): ActivityInterfaceFor<Activities> =>
  proxyActivities<Activities>({
    ...BYTES,
    taskQueue: siteQueue,
    scheduleToStartTimeout: '30m',
  });
