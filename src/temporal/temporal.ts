/**
 * The only place that starts, signals, updates and queries workflows. Nothing here carries content
 * that the workflow trusts.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import {
  Client,
  Connection,
  isGrpcServiceError,
  ServiceError,
  WithStartWorkflowOperation,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
  type ConnectionOptions,
} from '@temporalio/client';

import type { distribution as distributionWorkflow } from '../../workflows/distribution.ts';
import * as messages from '../../workflows/messages.ts';
import type { site as siteWorkflow } from '../../workflows/site.ts';
import { DebgeoError } from '../domain/errors.ts';
import type { Roster } from '../domain/replication.ts';

/** As `@temporalio/envconfig` gives it; what a client and a worker both understand. */
export interface TemporalConfig extends Pick<ConnectionOptions, 'tls' | 'metadata'> {
  readonly address: string;
  readonly namespace: string;
  readonly apiKey?: string;
}

export type CommandName = 'retry' | 'cancel' | 'pause' | 'resume';
export type FinalPruneOutcome = messages.PruneOutcome & {
  readonly outcome: Exclude<messages.PruneOutcome['outcome'], 'again'>;
};
export type FinalLookOutcome = messages.LookOutcome & {
  readonly outcome: Exclude<messages.LookOutcome['outcome'], 'again'>;
};

/** A server that accepts a connection and does not answer is unreachable, too. */
const CALL_MS = 10_000;
/** How long an Update may wait until a worker takes it. */
const WORKER_MS = 10_000;
/**
 * How often the next run is asked when one ended under the call, and how long it waits between: the
 * server delays a run that continued as new by up to a second.
 */
const ASKED_MAX = 30;
const PAUSE_MS = 300;

const GRPC = {
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  failedPrecondition: 9,
  aborted: 10,
  unimplemented: 12,
  unavailable: 14,
};

/** temporal.api.enums.v1.IndexedValueType: as the operator service counts them. */
const INDEXED_VALUE_TYPE = { KEYWORD: 2, KEYWORD_LIST: 7 } as const;

/** The caller closes `client.connection`. @throws TEMPORAL_UNREACHABLE */
export async function connectTemporal(
  config: TemporalConfig,
  connectMs = CALL_MS,
): Promise<Client> {
  const { namespace, ...options } = config;
  try {
    return new Client({
      namespace,
      connection: await Connection.connect({ ...options, connectTimeout: connectMs }),
    });
  } catch (error) {
    throw unreachable(config.address, error);
  }
}

/**
 * Registers the search attributes that the workflow sets: without them every workflow task fails,
 * again and again.
 * @throws CONFIG_INVALID when one exists with another type (the server would accept that in
 *   silence), or when we may not register them
 */
export async function ensureSearchAttributes(client: Client): Promise<void> {
  const { namespace } = client.options;
  const { operatorService } = client.connection as Connection;
  await call(client, async () => {
    const existing =
      (await operatorService.listSearchAttributes({ namespace })).customAttributes ?? {};
    const missing: Record<string, 2 | 7> = {};
    for (const { name, type } of messages.SEARCH_ATTRIBUTES) {
      const wanted = INDEXED_VALUE_TYPE[type];
      if (existing[name] === undefined) missing[name] = wanted;
      else if (existing[name] !== wanted)
        throw new DebgeoError(
          'CONFIG_INVALID',
          `search attribute ${name} of namespace ${namespace} has another type`,
          {
            expected: `${type} (${wanted})`,
            found: `type number ${existing[name]}`,
          },
        );
    }
    if (Object.keys(missing).length === 0) return;
    try {
      await operatorService.addSearchAttributes({ namespace, searchAttributes: missing });
    } catch (error) {
      const code = grpcCode(error);
      if (code === GRPC.alreadyExists) return; // another worker was faster
      if (code === GRPC.permissionDenied || code === GRPC.unimplemented)
        throw new DebgeoError(
          'CONFIG_INVALID',
          `search attributes of namespace ${namespace} cannot be registered from here; register them by hand`,
          {
            expected: messages.SEARCH_ATTRIBUTES.map(({ name, type }) => `${name}=${type}`).join(
              ', ',
            ),
            found: `without ${Object.keys(missing).join(', ')}`,
          },
        );
      throw error;
    }
  });
}

const startOptions = (distribution: string) => ({
  workflowId: messages.workflowId(distribution),
  taskQueue: messages.QUEUE,
  args: [{ distribution }] as [messages.DistributionInput],
  workflowIdConflictPolicy: 'USE_EXISTING' as const,
  staticSummary: `keeps the sites of ${distribution} at the newest release`,
});

/** Does nothing when it runs. */
export async function startDistribution(client: Client, distribution: string): Promise<void> {
  await call(client, () =>
    client.workflow.start<typeof distributionWorkflow>(
      messages.WORKFLOW_TYPE,
      startOptions(distribution),
    ),
  );
}

const siteStartOptions = (site: string) => ({
  workflowId: messages.siteWorkflowId(site),
  taskQueue: messages.QUEUE,
  args: [{ site }] as [messages.SiteInput],
  workflowIdConflictPolicy: 'USE_EXISTING' as const,
  staticSummary: `prunes ${site}`,
});

async function startSite(client: Client, site: string): Promise<void> {
  await call(client, () =>
    client.workflow.start<typeof siteWorkflow>(messages.SITE_WORKFLOW_TYPE, siteStartOptions(site)),
  );
}

/**
 * Rows are the truth, workflows follow: starts what should run and does not. One call per
 * distribution and per site; one that runs notices nothing. What should not run any more ends by
 * itself: its row says so.
 */
export async function reconcile(
  client: Client,
  distributions: readonly string[],
  sites: readonly string[] = [],
): Promise<void> {
  const errors: unknown[] = [];
  const note = (error: unknown): void => void errors.push(error);
  for (const distribution of distributions)
    await startDistribution(client, distribution).catch(note);
  for (const site of sites) await startSite(client, site).catch(note);
  // after all had their turn: one that cannot start holds up nobody
  if (errors.length > 0) throw errors[0];
}

/** A row changed, or the archive says that it released. */
export const sendDistributionChanged = (client: Client, distribution: string): Promise<void> =>
  send(client, distribution, 'distributionChanged', []);

/** To all lanes, or to that of one site. Durable once this returns, with or without a worker. */
export const sendCommand = (
  client: Client,
  command: CommandName,
  distribution: string,
  site?: string,
): Promise<void> => send(client, distribution, command, site === undefined ? [] : [{ site }]);

export const signalVerify = (client: Client, distribution: string, site?: string): Promise<void> =>
  send(client, distribution, 'verify', site === undefined ? [] : [{ site }]);

async function send(
  client: Client,
  distribution: string,
  signal: messages.SignalName,
  signalArgs: [messages.SiteArgument?],
): Promise<void> {
  await call(client, () =>
    client.workflow.signalWithStart<typeof distributionWorkflow, [messages.SiteArgument?]>(
      messages.WORKFLOW_TYPE,
      {
        ...startOptions(distribution),
        signal,
        signalArgs,
      },
    ),
  );
}

/**
 * Looks at the archive now and waits for the capture that begins after this call.
 * @throws NO_WORKER when none takes it within `workerMs`; the look is queued as a signal then
 * @throws TEMPORAL_UNREACHABLE
 */
export function look(
  client: Client,
  distribution: string,
  options: { workerMs?: number } = {},
): Promise<FinalLookOutcome> {
  const { workerMs = WORKER_MS } = options;
  return untilAnswered(`distribution ${distribution}`, () =>
    updateOnce(
      client,
      workerMs,
      () => {
        const start = new WithStartWorkflowOperation<typeof distributionWorkflow>(
          messages.WORKFLOW_TYPE,
          startOptions(distribution),
        );
        return client.workflow.startUpdateWithStart(messages.look, {
          startWorkflowOperation: start,
          waitForStage: 'ACCEPTED',
        });
      },
      () => sendDistributionChanged(client, distribution),
      'the look',
    ),
  );
}

/**
 * Prunes a site now and waits for the prune that begins after this call.
 * @throws NO_WORKER when none takes it within `workerMs`; the prune is queued as a signal then
 * @throws TEMPORAL_UNREACHABLE
 */
export function askPrune(
  client: Client,
  site: string,
  options: { workerMs?: number } = {},
): Promise<FinalPruneOutcome> {
  const { workerMs = WORKER_MS } = options;
  return untilAnswered(`site ${site}`, () =>
    updateOnce(
      client,
      workerMs,
      () => {
        const start = new WithStartWorkflowOperation<typeof siteWorkflow>(
          messages.SITE_WORKFLOW_TYPE,
          siteStartOptions(site),
        );
        return client.workflow.startUpdateWithStart(messages.prune, {
          startWorkflowOperation: start,
          waitForStage: 'ACCEPTED',
        });
      },
      () =>
        call(client, async () => {
          const signal = {
            ...siteStartOptions(site),
            signal: messages.pruneNow,
            signalArgs: [] as [],
          };
          await client.workflow.signalWithStart<typeof siteWorkflow, []>(
            messages.SITE_WORKFLOW_TYPE,
            signal,
          );
        }),
      'the prune',
    ),
  );
}

interface Outcome {
  readonly outcome: string;
}

/** `again`: the run that was asked ended under it, or had begun before: the next one is asked. */
async function untilAnswered<O extends Outcome, Final extends O>(
  what: string,
  ask: () => Promise<O | { readonly outcome: 'again' }>,
): Promise<Final> {
  for (let asked = 1; ; asked += 1) {
    const answer = await ask();
    if (answer.outcome !== 'again') return answer as Final;
    if (asked === ASKED_MAX)
      throw new DebgeoError('STALLED', `the workflow of ${what} kept ending while it was asked`);
    await sleep(PAUSE_MS);
  }
}

/** One Update. A run that ends under it, in whatever way, answers `again`. */
async function updateOnce<O extends Outcome>(
  client: Client,
  workerMs: number,
  start: () => Promise<{ result(): Promise<O> }>,
  queue: () => Promise<void>,
  what: string,
): Promise<O | { readonly outcome: 'again' }> {
  let accepted = false;
  try {
    const update = await client.withDeadline(Date.now() + workerMs, start);
    accepted = true;
    return await update.result();
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError || error instanceof WorkflowNotFoundError)
      return { outcome: 'again' };
    const code = grpcCode(error);
    if (code === GRPC.notFound || code === GRPC.aborted || code === GRPC.failedPrecondition)
      return { outcome: 'again' };
    if (accepted || !(error instanceof WorkflowUpdateRPCTimeoutOrCancelledError))
      throw grpcCode(error) === null ? error : unreachable('', error);
    await queue(); // says TEMPORAL_UNREACHABLE if it was that
    throw new DebgeoError('NO_WORKER', `queued; no worker polls ${messages.QUEUE}`, {
      expected: `a worker that takes ${what} within ${workerMs / 1000} s`,
      found: 'none',
      state: `nothing changed; ${what} is queued`,
    });
  }
}

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

export interface WorkflowDescription {
  /** RUNNING, COMPLETED, FAILED, CANCELLED, TERMINATED, … as Temporal says. */
  readonly status: string;
  readonly runId: string;
  readonly startedAt: Date;
  readonly historyEvents: number;
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

export interface ServerDescription {
  readonly version: string;
  readonly namespace: string;
  /**
   * How long the histories of runs that ended are kept, milliseconds; null: the server does not
   * say.
   */
  readonly retentionMs: number | null;
  /**
   * Type numbers as the operator service counts them (2 keyword, 7 list of keywords). `found` is
   * null: not registered. All null: it may not be asked.
   */
  readonly searchAttributes:
    | readonly {
        readonly name: string;
        readonly type: string;
        readonly isRight: boolean;
        readonly found: number | null;
      }[]
    | null;
}

/** @throws TEMPORAL_UNREACHABLE; NamespaceNotFoundError of the client's library */
export async function describeServer(client: Client): Promise<ServerDescription> {
  const { namespace } = client.options;
  const { operatorService, workflowService } = client.connection as Connection;
  return call(client, async () => {
    const { serverVersion } = await workflowService.getSystemInfo({});
    const { config } = await workflowService.describeNamespace({ namespace });
    const seconds = config?.workflowExecutionRetentionTtl?.seconds;
    const existing = await operatorService.listSearchAttributes({ namespace }).then(
      ({ customAttributes }) => customAttributes ?? {},
      (error: unknown) => {
        const code = grpcCode(error);
        if (code === GRPC.permissionDenied || code === GRPC.unimplemented) return null;
        throw error;
      },
    );
    return {
      version: serverVersion || 'unknown',
      namespace,
      retentionMs: seconds === undefined || seconds === null ? null : Number(seconds) * 1_000,
      searchAttributes:
        existing &&
        messages.SEARCH_ATTRIBUTES.map(({ name, type }) => {
          const found = existing[name] ?? null;
          return { name, type, isRight: found === INDEXED_VALUE_TYPE[type], found };
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
  const answer = await call(client, () =>
    client.workflowService.describeTaskQueue({
      namespace: client.options.namespace,
      taskQueue: { name: queue },
      taskQueueType: 2,
    }),
  );
  return answer.pollers?.length ?? 0;
}

async function call<T>(client: Client, work: () => Promise<T>): Promise<T> {
  try {
    return await client.withDeadline(Date.now() + CALL_MS, work);
  } catch (error) {
    const code = grpcCode(error);
    throw code === GRPC.unavailable || code === GRPC.deadlineExceeded
      ? unreachable('', error)
      : error;
  }
}

const unreachable = (address: string, cause: unknown): DebgeoError =>
  new DebgeoError(
    'TEMPORAL_UNREACHABLE',
    `Temporal does not answer${address && ` at ${address}`}`,
    { found: messageOf(cause) },
    rootOf(cause),
  );

const rootOf = (error: unknown): unknown =>
  error instanceof ServiceError && error.cause !== undefined ? error.cause : error;

const messageOf = (error: unknown): string =>
  String((rootOf(error) as Error | undefined)?.message ?? error);

const grpcCode = (error: unknown): number | null => {
  const root = error instanceof Error && !isGrpcServiceError(error) ? error.cause : error;
  return isGrpcServiceError(root) ? root.code : null;
};
