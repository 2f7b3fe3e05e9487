/** Whether a workflow gets on: what fails in it again and again. */
import { WorkflowNotFoundError, type Client } from '@temporalio/client';

import { DebgeoError } from '../domain/errors.ts';
import { printable } from '../domain/text.ts';
import { call } from './connection.ts';

export interface Stuck {
  /** An activity that Temporal tries again, as `planSync`, by the words of its last failure. */
  readonly activity: string;
  readonly attempt: number;
  readonly failure: string;
}

/** One failure may be a worker that was stopped; the third is none. */
const TASK_ATTEMPTS = 3;
/** Beyond a worker's restart, and the three attempts of what touches a site or an archive. */
const ACTIVITY_ATTEMPTS = 5;
/** Signals that came since a task failed lie behind it in the history: so many pages at most. */
const PAGES = 10;

/**
 * @returns activities of the newest run that are tried again and again; null: it never ran
 * @throws WORKFLOW_FAILING no task of it succeeds, so it takes nothing up, whatever is sent
 */
export async function examineWorkflow(
  client: Client,
  workflowId: string,
): Promise<readonly Stuck[] | null> {
  const description = await call(client, () =>
    client.workflow.getHandle(workflowId).describe(),
  ).catch((error: unknown) => {
    if (error instanceof WorkflowNotFoundError) return null;
    throw error;
  });
  if (description === null) return null;
  const { pendingActivities, pendingWorkflowTask } = description.raw;
  const attempts = Number(pendingWorkflowTask?.attempt ?? 0);
  if (attempts >= TASK_ATTEMPTS) {
    const failure = await lastTaskFailure(client, workflowId, description.runId);
    if (failure !== null) throw failing(client, workflowId, attempts, failure);
  }
  return (pendingActivities ?? [])
    .filter(({ attempt }) => Number(attempt) > ACTIVITY_ATTEMPTS)
    .map(({ activityType, attempt, lastFailure }) => ({
      activity: activityType?.name ?? 'an activity',
      attempt: Number(attempt),
      failure: printable(lastFailure?.message ?? 'it did not say why'),
    }));
}

const failing = (
  client: Client,
  workflowId: string,
  attempts: number,
  failure: string,
): DebgeoError =>
  new DebgeoError('WORKFLOW_FAILING', `${workflowId} takes nothing up: each of its tasks fails`, {
    expected:
      'a worker of the version that began it; or: temporal workflow terminate' +
      ` --namespace ${client.options.namespace} --workflow-id ${workflowId}`,
    found: `attempt ${attempts}: ${failure}`,
    state: 'the sites serve what they serve; a worker starts it again within a minute of its end',
  });

/** Why the newest task failed; null: one has succeeded since, or the history does not say. */
async function lastTaskFailure(
  client: Client,
  workflowId: string,
  runId: string,
): Promise<string | null> {
  let nextPageToken: Uint8Array | undefined;
  for (let page = 0; page < PAGES; page += 1) {
    const request = {
      namespace: client.options.namespace,
      execution: { workflowId, runId },
      maximumPageSize: 100,
      ...(nextPageToken === undefined ? {} : { nextPageToken }),
    };
    const answer = await call(client, () =>
      client.workflowService.getWorkflowExecutionHistoryReverse(request),
    );
    for (const event of answer.history?.events ?? []) {
      if (event.workflowTaskCompletedEventAttributes) return null;
      const failed = event.workflowTaskFailedEventAttributes;
      if (failed) return printable(failed.failure?.message ?? 'it did not say why');
      if (event.workflowTaskTimedOutEventAttributes) return 'the worker did not end it in time';
    }
    if (!answer.nextPageToken?.length) return null;
    ({ nextPageToken } = answer);
  }
  return null;
}
