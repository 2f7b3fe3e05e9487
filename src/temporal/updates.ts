/**
 * Updates: asks a workflow and waits for what comes of it. A run may end while it is asked; then
 * the next run is asked.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import {
  WithStartWorkflowOperation,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
  type Client,
} from '@temporalio/client';

import type { distribution as distributionWorkflow } from '../../workflows/distribution.ts';
import * as messages from '../../workflows/messages.ts';
import type { site as siteWorkflow } from '../../workflows/site.ts';
import { DebgeoError } from '../domain/errors.ts';
import { GRPC, grpcCode, unreachable } from './connection.ts';
import { examineWorkflow } from './health.ts';
import { sendDistributionChanged, sendPrune } from './signals.ts';
import { distributionStart, siteStart } from './starts.ts';

/** What a caller gets: the next run was asked already where one answered `again`. */
type Final<O extends { readonly outcome: string }> = O & {
  readonly outcome: Exclude<O['outcome'], 'again'>;
};
export type FinalLookOutcome = Final<messages.LookOutcome>;
export type FinalPruneOutcome = Final<messages.PruneOutcome>;

interface WaitOptions {
  /** How long an Update may wait until a worker takes it. */
  readonly workerMs?: number;
}
const WORKER_MS = 10_000;

/**
 * How often the next run is asked when one ended under the call, and how long it waits between: the
 * server delays a run that continued as new by up to a second.
 */
const ASKED_MAX = 30;
const PAUSE_MS = 300;

/**
 * Looks at the archive now and waits for the capture that begins after this call.
 * @throws NO_WORKER when none takes it within `workerMs`; the look is queued as a signal then
 * @throws TEMPORAL_UNREACHABLE
 * @throws WORKFLOW_FAILING when no task of the workflow succeeds
 * @throws STALLED when run after run ended while it was asked
 */
export const look = (
  client: Client,
  distribution: string,
  { workerMs = WORKER_MS }: WaitOptions = {},
): Promise<FinalLookOutcome> =>
  ask(client, {
    workflow: `distribution ${distribution}`,
    wanted: 'the look',
    workerMs,
    workflowId: messages.workflowId(distribution),
    start: () =>
      client.workflow.startUpdateWithStart(messages.look, {
        startWorkflowOperation: new WithStartWorkflowOperation<typeof distributionWorkflow>(
          messages.WORKFLOW_TYPE,
          distributionStart(distribution),
        ),
        waitForStage: 'ACCEPTED',
      }),
    queue: () => sendDistributionChanged(client, distribution),
  });

/**
 * Prunes a site now and waits for the prune that begins after this call.
 * @throws NO_WORKER when none takes it within `workerMs`; the prune is queued as a signal then
 * @throws TEMPORAL_UNREACHABLE
 * @throws WORKFLOW_FAILING when no task of the workflow succeeds
 * @throws STALLED when run after run ended while it was asked
 */
export const askPrune = (
  client: Client,
  site: string,
  { workerMs = WORKER_MS }: WaitOptions = {},
): Promise<FinalPruneOutcome> =>
  ask(client, {
    workflow: `site ${site}`,
    wanted: 'the prune',
    workerMs,
    workflowId: messages.siteWorkflowId(site),
    start: () =>
      client.workflow.startUpdateWithStart(messages.prune, {
        startWorkflowOperation: new WithStartWorkflowOperation<typeof siteWorkflow>(
          messages.SITE_WORKFLOW_TYPE,
          siteStart(site),
        ),
        waitForStage: 'ACCEPTED',
      }),
    queue: () => sendPrune(client, site),
  });

interface Question<O> {
  /** For messages: `site fra`, `the prune`. */
  readonly workflow: string;
  readonly wanted: string;
  readonly workerMs: number;
  readonly workflowId: string;
  /** Resolves when a worker has taken the Update. */
  readonly start: () => Promise<{ result(): Promise<O> }>;
  /** The same wish as a signal, which waits for a worker. */
  readonly queue: () => Promise<void>;
}

const AGAIN = { outcome: 'again' } as const;

/** `again`: the run that was asked ended under it, or had begun before: the next one is asked. */
async function ask<O extends { readonly outcome: string }>(
  client: Client,
  question: Question<O>,
): Promise<Final<O>> {
  for (let asked = 1; ; asked += 1) {
    const answer = await askOnce(client, question);
    if (answer.outcome !== AGAIN.outcome) return answer as Final<O>;
    await examineWorkflow(client, question.workflowId); // a task that fails ends an Update, too
    if (asked === ASKED_MAX)
      throw new DebgeoError(
        'STALLED',
        `the workflow of ${question.workflow} kept ending while it was asked`,
      );
    await sleep(PAUSE_MS);
  }
}

/** One Update. A run that ends under it, in whatever way, answers `again`. */
async function askOnce<O>(
  client: Client,
  { wanted, workerMs, workflowId, start, queue }: Question<O>,
): Promise<O | typeof AGAIN> {
  let isAccepted = false;
  try {
    const update = await client.withDeadline(Date.now() + workerMs, start);
    isAccepted = true;
    return await update.result();
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError || error instanceof WorkflowNotFoundError)
      return AGAIN;
    const code = grpcCode(error);
    if (code === GRPC.notFound || code === GRPC.aborted || code === GRPC.failedPrecondition)
      return AGAIN;
    if (isAccepted || !(error instanceof WorkflowUpdateRPCTimeoutOrCancelledError))
      throw code === null ? error : unreachable(error);
    await queue(); // throws TEMPORAL_UNREACHABLE where the server was the reason
    await examineWorkflow(client, workflowId);
    throw new DebgeoError('NO_WORKER', `queued; no worker polls ${messages.QUEUE}`, {
      expected: `a worker that takes ${wanted} within ${workerMs / 1000} s`,
      found: 'none',
      state: `nothing changed; ${wanted} is queued`,
    });
  }
}
