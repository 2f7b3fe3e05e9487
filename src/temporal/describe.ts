/** Reads: what a workflow holds and how it does, and what the server says of itself. */
import { WorkflowNotFoundError, type Client, type Connection } from '@temporalio/client';

import * as messages from '../../workflows/messages.ts';
import { DebgeoError } from '../domain/errors.ts';
import type { Roster } from '../domain/replication.ts';
import { call, GRPC, grpcCode } from './connection.ts';
import { readSearchAttributes, type SearchAttribute } from './search-attributes.ts';

export interface WorkflowDescription {
  /** RUNNING, COMPLETED, FAILED, CANCELLED, TERMINATED, … as Temporal says. */
  readonly status: string;
  readonly runId: string;
  readonly startedAt: Date;
  readonly historyEvents: number;
}

export interface ServerDescription {
  readonly version: string;
  readonly namespace: string;
  /** How long histories of ended runs are kept, milliseconds; null: the server does not say. */
  readonly retentionMs: number | null;
  /** Null: the server does not let us ask. */
  readonly searchAttributes: readonly SearchAttribute[] | null;
}

/** temporal.api.enums.v1.TaskQueueType */
const ACTIVITY_QUEUE = 2;

/** The rows as the workflow holds them. Null: it does not run. @throws NO_WORKER */
export async function queryStatus(client: Client, distribution: string): Promise<Roster | null> {
  try {
    return await call(client, () =>
      client.workflow.getHandle(messages.workflowId(distribution)).query(messages.status),
    );
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return null;
    if (
      error instanceof DebgeoError &&
      error.code === 'TEMPORAL_UNREACHABLE' &&
      grpcCode(error.cause) === GRPC.deadlineExceeded
    )
      throw new DebgeoError(
        'NO_WORKER',
        `no worker answers for ${distribution}`,
        { expected: 'a worker', found: 'none' },
        error,
      );
    throw error;
  }
}

/** The newest run of a distribution's workflow. Null: there never was one. */
export async function describeDistribution(
  client: Client,
  distribution: string,
): Promise<WorkflowDescription | null> {
  try {
    const found = await call(client, () =>
      client.workflow.getHandle(messages.workflowId(distribution)).describe(),
    );
    return {
      status: found.status.name,
      runId: found.runId,
      startedAt: found.startTime,
      historyEvents: found.historyLength,
    };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return null;
    throw error;
  }
}

/** @throws TEMPORAL_UNREACHABLE; NamespaceNotFoundError of the client's library */
export async function describeServer(client: Client): Promise<ServerDescription> {
  const { namespace } = client.options;
  const { workflowService } = client.connection as Connection;
  return call(client, async () => {
    const { serverVersion } = await workflowService.getSystemInfo({});
    const { config } = await workflowService.describeNamespace({ namespace });
    const seconds = config?.workflowExecutionRetentionTtl?.seconds;
    return {
      version: serverVersion || 'unknown',
      namespace,
      retentionMs: seconds === undefined || seconds === null ? null : Number(seconds) * 1_000,
      searchAttributes: await readSearchAttributes(client).catch((error: unknown) => {
        const code = grpcCode(error);
        if (code === GRPC.permissionDenied || code === GRPC.unimplemented) return null;
        throw error;
      }),
    };
  });
}

/**
 * How many workers polled a queue for activities in the last minutes (the server forgets them after
 * five).
 */
export async function describePollers(
  client: Client,
  queue: string = messages.QUEUE,
): Promise<number> {
  return (await pollersOf(client, queue)).length;
}

/** When a worker polled last, by Temporal's clock; null: none did in the last minutes. */
export async function newestPollAt(client: Client): Promise<number | null> {
  const polls = (await pollersOf(client, messages.QUEUE)).map(
    ({ lastAccessTime }) => Number(lastAccessTime?.seconds ?? 0) * 1_000,
  );
  return polls.length === 0 ? null : Math.max(...polls);
}

async function pollersOf(client: Client, queue: string) {
  const answer = await call(client, () =>
    client.workflowService.describeTaskQueue({
      namespace: client.options.namespace,
      taskQueue: { name: queue },
      taskQueueType: ACTIVITY_QUEUE,
    }),
  );
  return answer.pollers ?? [];
}
