/**
 * The one process that owns all servers of a stack. Its parent (stack.ts) forks it and holds the
 * other end of an IPC channel. When that end closes, because the parent stops the stack or was
 * killed, the keeper stops every server cleanly and ends.
 *
 * It runs in a session of its own: Ctrl-C starts the parent's drain and does not reach the database
 * that the drain still needs.
 */
import { DebgeoError, type ErrorReport } from '../domain/errors.ts';
import {
  readStackFileIfAny,
  writeStackFile,
  type BlobServer,
  type StackUrls,
} from '../settings/stack-file.ts';
import { startAzurite } from './azurite.ts';
import { freePort } from './free-port.ts';
import { acquireLock, removeRecord, stopLeftovers, writeRecord } from './keeper-lock.ts';
import { startPostgres } from './postgres.ts';
import type { ProcessIdentity } from './process-identity.ts';
import { untilReady, type Server } from './server-process.ts';
import { findTemporalBinary } from './temporal-binary.ts';
import { startTemporal, type DynamicConfig } from './temporal.ts';

/** What the keeper is to run: the first and only message to it. */
export interface StackPlan {
  readonly folder: string;
  readonly blobs: readonly string[];
  readonly dynamicConfig: DynamicConfig;
  readonly durable: boolean;
  readonly parent: ProcessIdentity;
}

/**
 * What the keeper sends: any number of lines, then `ready` or `failed`. `failed` after `ready`: a
 * server ended by itself.
 */
export type KeeperReport =
  | { readonly say: string }
  | { readonly ready: StackUrls }
  | { readonly failed: ErrorReport };

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => stop.abort());
process.once('disconnect', () => stop.abort());
process.once('message', (plan) => void keep(plan as StackPlan));

async function keep(plan: StackPlan): Promise<void> {
  const servers: Server[] = [];
  let locked = false;
  try {
    await acquireLock(plan.folder, say);
    locked = true;
    await stopLeftovers(plan.folder, say);
    const urls = await startServers(plan, (server) => {
      servers.push(server);
      writeRecord(plan.folder, plan.parent, servers);
    });
    await tell({ ready: urls });
    await untilStopOrEnd(servers);
  } catch (error) {
    if (!stop.signal.aborted) await tell({ failed: reportOf(error) });
  }
  await Promise.all(servers.map((server) => server.stop()));
  if (locked) removeRecord(plan.folder);
  process.exit();
}

/**
 * Starts all servers at once; the first failure ends the rest. They get the ports of the last run
 * if these are free, so that its URLs stay valid.
 */
async function startServers(plan: StackPlan, own: (server: Server) => void): Promise<StackUrls> {
  const before = readStackFileIfAny(plan.folder);
  writeRecord(plan.folder, plan.parent, []);
  const taken = new Set<number>();
  const port = (url: string | null | undefined) =>
    freePort(url ? Number(new URL(url).port) : null, taken);
  const failure = new AbortController();
  const signal = AbortSignal.any([stop.signal, failure.signal]);
  const run = async (server: Server) => {
    own(server);
    await untilReady(server, signal);
  };

  const postgres = async () => {
    const { server, url } = await startPostgres({
      folder: plan.folder,
      port: await port(before?.databaseUrl),
      durable: plan.durable,
    });
    await run(server);
    return url;
  };
  const azurite = async (name: string): Promise<BlobServer> => {
    const known = before?.blobs.find((blobs) => blobs.name === name);
    const { server, blobs } = startAzurite(plan.folder, name, await port(known?.url), known);
    await run(server);
    return blobs;
  };
  const temporal = async () => {
    const binary = await findTemporalBinary({ say, signal });
    const ports = {
      port: await port(before && `http://${before.temporalAddress}`),
      uiPort: await port(before?.temporalUi),
    };
    const { server, address, ui } = startTemporal({
      binary,
      folder: plan.folder,
      ...ports,
      dynamicConfig: plan.dynamicConfig,
    });
    await run(server);
    return { temporalAddress: address, temporalUi: ui };
  };

  const starts = [postgres(), temporal(), ...plan.blobs.map(azurite)] as const;
  for (const start of starts) start.catch((error: unknown) => failure.abort(error));
  await Promise.allSettled(starts);
  signal.throwIfAborted();
  const [databaseUrl, temporalUrls, ...blobs] = await Promise.all(starts);
  const urls = { databaseUrl, ...temporalUrls, blobs };
  writeStackFile(plan.folder, urls);
  return urls;
}

async function untilStopOrEnd(servers: readonly Server[]): Promise<void> {
  const stopped = new Promise<null>((resolve) =>
    stop.signal.addEventListener('abort', () => resolve(null), { once: true }),
  );
  if (stop.signal.aborted) return;
  const ends = servers.map(async (server) => ({ server, how: await server.ended }));
  const first = await Promise.race([stopped, ...ends]);
  if (!first) return;
  const { server, how } = first;
  throw new DebgeoError('STACK_FAILED', `${server.name} ended by itself: see ${server.log}`, {
    expected: 'runs until it is stopped',
    found: how,
  });
}

function say(line: string): void {
  void tell({ say: line });
}

/** Resolves when the report was sent, or when the parent has gone. */
function tell(report: KeeperReport): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected && process.send)
      process.send(report, undefined, undefined, () => resolve());
    else resolve();
  });
}

function reportOf(error: unknown): ErrorReport {
  if (error instanceof DebgeoError) return error.report;
  const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: 'STACK_FAILED', message: `the servers did not start: ${reason}` };
}
