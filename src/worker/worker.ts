/**
 * The worker process: polls `debgeo` (workflows, bookkeeping, plans), and one queue per archive and
 * per enabled site (activities only), each with slots of its own, so that one which hangs takes no
 * slot of another. Those queues are added and removed as the tables change.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import type { Client } from '@temporalio/client';
import { IllegalStateError, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import type { Logger } from 'pino';

import type { Activities } from '../../activities/index.ts';
import { QUEUE } from '../../workflows/messages.ts';
import { DebgeoError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import { logSubject, sdkLoggerInto } from '../log.ts';
import { connectTemporal, DATA_CONVERTER, type TemporalConfig } from '../temporal/connection.ts';
import { reconcile, type WantedDistribution } from '../temporal/reconcile.ts';
import { ensureSearchAttributes } from '../temporal/search-attributes.ts';
import { withWorkflowBundle } from './workflow-bundle.ts';

export interface WorkerOptions {
  readonly temporal: TemporalConfig;
  readonly activities: Activities;
  /** The enabled sites that this worker can reach, with the queue that their lanes use. */
  readonly sites: () => Promise<readonly { readonly queue: string }[]>;
  /** The archives that this worker can reach, with the queue that their captures use. */
  readonly archives: () => Promise<readonly { readonly queue: string }[]>;
  /** Those that should have a running workflow, and whether it has to be told of a change. */
  readonly distributions: () => Promise<readonly WantedDistribution[]>;
  /** Writes into the rows what time alone has changed: which sites are overdue to be scrubbed. */
  readonly rollUp: () => Promise<unknown>;
  /** Names of the enabled sites: each should have a workflow that prunes and scrubs it. */
  readonly prunes: () => Promise<readonly string[]>;
  readonly log: Logger;
  /** How often workflows that should run and do not are started. */
  readonly reconcileMs?: number;
  /** How often the tables of archives and sites are read. */
  readonly sitesMs?: number;
  /**
   * How long activities may still work after a signal to stop; then they are cancelled, and another
   * worker goes on.
   */
  readonly graceMs: number;
  /** Stops the worker as SIGTERM does. */
  readonly signal?: AbortSignal;
  /**
   * A bundle of workflows/index.ts that this version of the SDK has made; unless given, one is made
   * at start (a second).
   */
  readonly codePath?: string;
}

export interface RunningWorker {
  /**
   * Ends after SIGINT, SIGTERM or `shutdown()`, when no activity works any more. Rejects when a
   * worker failed for good.
   */
  readonly done: Promise<void>;
  shutdown(): Promise<void>;
}

/**
 * Activities at one site at a time: one slice each of as many distributions, with up to
 * LIMITS.laneConcurrency blobs in work.
 */
const SITE_SLOTS = 8;

/**
 * A server takes 1,200 polls at a time from a namespace (`frontend.namespaceCount`), of all
 * workers: 200 queues with 8 pollers each are too many, and the queues behind starve. One poller
 * per queue that rests is enough, and more come with the work.
 */
const POLLERS = { type: 'autoscaling', minimum: 1, initial: 1, maximum: 8 } as const;

/**
 * How long a workflow task waits for the worker that has the workflow in its memory, before any may
 * take it and replay the run. Half of the SDK's default: one that froze takes none.
 */
const STICKY_MS = 5_000;

/**
 * Starts the worker, which polls when this resolves. The SDK itself handles signals: SIGINT and
 * SIGTERM stop all workers of a process.
 * @throws TEMPORAL_UNREACHABLE, CONFIG_INVALID
 */
export async function runWorker(options: WorkerOptions): Promise<RunningWorker> {
  const { log, reconcileMs = 60_000, sitesMs = 2_000 } = options;
  installRuntime(log);
  const client = await connectTemporal(options.temporal);
  const stop = new AbortController();
  try {
    await ensureSearchAttributes(client);
    const fleet = await startFleet(options, client);
    let atStart = true;
    const loops = Promise.all([
      every(sitesMs, stop.signal, log, async () => fleet.adjust(await queuesOf(options))),
      every(reconcileMs, stop.signal, log, async () => {
        await reconcile(client, await options.distributions(), await options.prunes(), atStart);
        atStart = false;
        await options.rollUp(); // what it changes is signalled by the next turn
      }),
    ]);
    const done = (async () => {
      try {
        await fleet.ended;
      } finally {
        stop.abort();
        await loops;
        await fleet.stop();
        await client.connection.close();
      }
    })();
    done.catch((error: unknown) => log.error({ error }, 'the worker failed'));
    const shutdown = async (): Promise<void> => {
      fleet.stopMain();
      await done;
    };
    if (options.signal?.aborted) fleet.stopMain();
    options.signal?.addEventListener('abort', () => fleet.stopMain(), { once: true });
    return { done, shutdown };
  } catch (error) {
    stop.abort();
    await client.connection.close();
    throw error;
  }
}

/** Queues of archives and sites, with the activities that may run there at a time. */
async function queuesOf({ archives, sites }: WorkerOptions): Promise<ReadonlyMap<string, number>> {
  const withSlots = (found: readonly { readonly queue: string }[], slots: number) =>
    found.map(({ queue }) => [queue, slots] as const);
  return new Map([
    ...withSlots(await archives(), LIMITS.capturesPerArchive),
    ...withSlots(await sites(), SITE_SLOTS),
  ]);
}

interface Polling {
  readonly worker: Worker;
  readonly ended: Promise<void>;
}

/**
 * The SDK's workers of this process, over one connection: a main one, and one per other queue.
 * `ended` settles with the main one, or when any of them fails.
 */
async function startFleet(options: WorkerOptions, client: Client) {
  const { temporal, activities, log, graceMs } = options;
  const { namespace, ...connectionOptions } = temporal;
  const connection = await connectNative(connectionOptions);
  const shared = {
    connection,
    namespace,
    activities,
    identity: client.options.identity,
    dataConverter: DATA_CONVERTER,
    maxHeartbeatThrottleInterval: '1s' as const, // a cancel reaches an activity with its heartbeat
    shutdownGraceTime: graceMs,
    interceptors: { activity: [logSubject] },
  };
  const others = new Map<string, Polling>();
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined);
  const run = (worker: Worker): Polling => {
    const ended = worker.run();
    ended.catch(failed.reject);
    return { worker, ended };
  };
  const pollQueue = async (queue: string, slots: number): Promise<Polling> =>
    run(
      await Worker.create({
        ...shared,
        taskQueue: queue,
        maxConcurrentActivityTaskExecutions: slots,
        activityTaskPollerBehavior: POLLERS,
      }),
    );

  const main = await pollMain(options.codePath, (codePath) =>
    Worker.create({
      ...shared,
      taskQueue: QUEUE,
      workflowBundle: { codePath },
      activityTaskPollerBehavior: POLLERS,
      stickyQueueScheduleToStartTimeout: STICKY_MS,
    }),
  ).then(run, async (error: unknown) => {
    await connection.close();
    throw error;
  });
  return {
    ended: Promise.race([main.ended, failed.promise]),
    stopMain: () => end(main),
    async adjust(queues: ReadonlyMap<string, number>): Promise<void> {
      for (const [queue, slots] of queues) {
        if (others.has(queue) || main.worker.getState() !== 'RUNNING') continue;
        others.set(queue, await pollQueue(queue, slots));
        log.info({ queue }, 'polls a queue');
      }
      for (const [queue, polling] of others) {
        if (queues.has(queue)) continue;
        others.delete(queue);
        end(polling);
        await polling.ended;
        log.info({ queue }, 'left a queue');
      }
    },
    async stop(): Promise<void> {
      const all = [main, ...others.values()];
      for (const polling of all) end(polling);
      await Promise.allSettled(all.map((polling) => polling.ended));
      await connection.close();
    },
  };
}

/** The worker of workflows and bookkeeping, with the bundle that is given or one of its own. */
const pollMain = (
  codePath: string | undefined,
  create: (codePath: string) => Promise<Worker>,
): Promise<Worker> => (codePath === undefined ? withWorkflowBundle(create) : create(codePath));

function end({ worker }: Polling): void {
  if (worker.getState() === 'RUNNING') worker.shutdown(); // throws in any other state
}

async function connectNative(
  options: Omit<TemporalConfig, 'namespace'>,
): Promise<NativeConnection> {
  try {
    return await NativeConnection.connect(options);
  } catch (error) {
    throw new DebgeoError(
      'TEMPORAL_UNREACHABLE',
      `Temporal does not answer at ${options.address}`,
      { found: String(error) },
      error,
    );
  }
}

/**
 * Does `work` at once, then every `ms` until stopped. A failure is logged and `work` done again at
 * the next turn: the database may be away for a while.
 */
async function every(
  ms: number,
  stop: AbortSignal,
  log: Logger,
  work: () => Promise<void>,
): Promise<void> {
  while (!stop.aborted) {
    await work().catch((error: unknown) => log.error({ error }, 'will try again'));
    await sleep(ms, undefined, { signal: stop }).catch(() => undefined);
  }
}

function installRuntime(log: Logger): void {
  const logger = sdkLoggerInto(log);
  try {
    Runtime.install({
      logger,
      telemetryOptions: { logging: { forward: {}, filter: { core: 'WARN', other: 'ERROR' } } },
    });
  } catch (error) {
    // installed already: there is one runtime for all workers of a process
    if (!(error instanceof IllegalStateError)) throw error;
  }
}
