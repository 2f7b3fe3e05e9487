/**
 * The servers and workers of a soak: each can be killed, stopped and started again under its
 * address. Those of src/stack end all together when one ends, so these have no keeper: `stop`
 * ends them, by their processes.
 */
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { connectDatabase } from '../../src/database/orm.ts';
import type { BlobServer } from '../../src/settings/stack-file.ts';
import { startAzurite } from '../../src/stack/azurite.ts';
import { freePort } from '../../src/stack/free-port.ts';
import { startPostgres } from '../../src/stack/postgres.ts';
import { untilReady, type Server } from '../../src/stack/server-process.ts';
import { findTemporalBinary } from '../../src/stack/temporal-binary.ts';
import { startTemporal } from '../../src/stack/temporal.ts';
import { forkWorker } from '../../src/worker/fork-worker.ts';
import { exitOf, hasExited } from '../support/child.ts';
import { SITES, WORKERS, type SiteName, type WorkerName } from './decisions.ts';

/** Longer than a worker lets its slices work on. */
const WORKER_STOP_MS = 30_000;
const STARTS_MAX = 10;
const CONNECTS_MS = 60_000;

interface Ports {
  readonly postgres: number;
  readonly temporal: number;
  readonly temporalUi: number;
  readonly azurites: ReadonlyMap<SiteName, number>;
}

export class Servers {
  readonly #folder: string;
  readonly #logs: string;
  readonly #ports: Ports;
  readonly #binary: string;
  readonly #signal: AbortSignal;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #azurites = new Map<SiteName, { server: Server; blobs: BlobServer }>();
  readonly #workers = new Map<WorkerName, ChildProcess>();
  #postgres: { server: Server; url: string } | null = null;
  #temporal: { server: Server; address: string } | null = null;

  private constructor(
    folders: { readonly folder: string; readonly logs: string },
    ports: Ports,
    binary: string,
    signal: AbortSignal,
  ) {
    this.#folder = folders.folder;
    this.#logs = folders.logs;
    this.#ports = ports;
    this.#binary = binary;
    this.#signal = signal;
    const temporary = join(folders.folder, 'tmp');
    mkdirSync(temporary, { recursive: true });
    this.#environment = {
      DEBGEO_LOG_LEVEL: 'warn',
      DEBGEO_SPOOL_DIR: join(folders.folder, 'spool'),
      TMPDIR: temporary,
    };
  }

  /** @param signal gives up the start of a server */
  static async start(
    folder: string,
    logs: string,
    say: (line: string) => void,
    signal: AbortSignal,
  ): Promise<Servers> {
    const taken = new Set<number>();
    const port = () => freePort(null, taken);
    const ports = {
      postgres: await port(),
      temporal: await port(),
      temporalUi: await port(),
      azurites: new Map<SiteName, number>(),
    };
    for (const site of SITES) ports.azurites.set(site, await port());
    const binary = await findTemporalBinary({ say, signal });
    const servers = new Servers({ folder, logs }, ports, binary, signal);
    try {
      await Promise.all([
        servers.#startPostgres(),
        servers.#startTemporal(),
        ...SITES.map((site) => servers.#startAzurite(site)),
      ]);
    } catch (error) {
      await servers.stop();
      throw error;
    }
    return servers;
  }

  get databaseUrl(): string {
    return this.#postgres!.url;
  }

  get temporalAddress(): string {
    return this.#temporal!.address;
  }

  blobs(site: SiteName): BlobServer {
    return this.#azurites.get(site)!.blobs;
  }

  /** For every process of debgeo; the credentials of the sites, too. */
  get environment(): NodeJS.ProcessEnv {
    const credentials = SITES.map((site) => {
      const { account, key } = this.blobs(site);
      return [credentialVariable(site), `AccountName=${account};AccountKey=${key}`] as const;
    });
    return {
      ...this.#environment,
      ...Object.fromEntries(credentials),
      DATABASE_URL: this.databaseUrl,
      TEMPORAL_ADDRESS: this.temporalAddress,
      TEMPORAL_NAMESPACE: 'default',
    };
  }

  startWorker(name: WorkerName): void {
    const environment = { ...process.env, ...this.environment };
    this.#workers.set(name, forkWorker(this.#logOf(name), { environment }));
  }

  #logOf(name: WorkerName): string {
    return join(this.#logs, `worker-${name}.log`);
  }

  /** kill -9, and the next one starts. */
  async killWorker(name: WorkerName): Promise<void> {
    const worker = this.#workers.get(name);
    if (worker !== undefined) {
      worker.kill('SIGKILL');
      await exitOf(worker);
    }
    this.startWorker(name);
  }

  /** Whether one of the workers has begun to poll: it says so of each queue. */
  get isAnyUp(): boolean {
    return [...this.#workers].some(
      ([name, { pid }]) =>
        pid !== undefined &&
        existsSync(this.#logOf(name)) &&
        readFileSync(this.#logOf(name), 'utf8').includes(`"pid":${pid},`),
    );
  }

  /** As systemd stops it. @returns whether it had to be killed */
  async stopWorker(name: WorkerName): Promise<boolean> {
    const worker = this.#workers.get(name);
    this.#workers.delete(name);
    if (worker === undefined || hasExited(worker)) return false;
    worker.kill('SIGCONT');
    worker.kill('SIGTERM');
    const late = setTimeout(() => worker.kill('SIGKILL'), WORKER_STOP_MS);
    await exitOf(worker);
    clearTimeout(late);
    return worker.signalCode === 'SIGKILL';
  }

  /** Those that ended by themselves, with how; they are started again, as systemd does it. */
  restartEnded(): string[] {
    const ended: string[] = [];
    for (const name of WORKERS) {
      const worker = this.#workers.get(name);
      if (worker === undefined || !hasExited(worker)) continue;
      ended.push(`worker ${name}: ${worker.signalCode ?? `exit code ${worker.exitCode}`}`);
      this.startWorker(name);
    }
    return ended;
  }

  /** SIGSTOP, and SIGCONT unless it was killed meanwhile. */
  async freezeWorker(name: WorkerName, ms: number, signal: AbortSignal): Promise<void> {
    const worker = this.#workers.get(name);
    if (worker === undefined || hasExited(worker)) return;
    worker.kill('SIGSTOP');
    try {
      await sleep(ms, undefined, { signal });
    } finally {
      if (!hasExited(worker)) worker.kill('SIGCONT');
    }
  }

  async killPostgres(): Promise<void> {
    await kill(this.#postgres!.server);
    await this.#again(() => this.#startPostgres());
  }

  async killTemporal(): Promise<void> {
    await kill(this.#temporal!.server);
    await this.#again(() => this.#startTemporal());
  }

  /** It loses what it acknowledged when it is killed: it is told to end. */
  async stopAzurite(site: SiteName, downMs: number): Promise<void> {
    await this.#azurites.get(site)!.server.stop();
    await sleep(downMs);
    await this.#again(() => this.#startAzurite(site));
  }

  async stop(): Promise<void> {
    await Promise.all(WORKERS.map((name) => this.stopWorker(name)));
    const started = [this.#postgres, this.#temporal, ...this.#azurites.values()];
    const servers = started.filter((one) => one !== null);
    await Promise.all(servers.map(({ server }) => server.stop()));
  }

  /**
   * What a server that was killed leaves may keep the next one from starting for a moment:
   * PostgreSQL waits for the last of its old processes.
   */
  async #again(start: () => Promise<void>): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await start();
      } catch (error) {
        if (attempt === STARTS_MAX || this.#signal.aborted) throw error;
        await sleep(200);
      }
    }
  }

  /** Durable: what was committed must be there after a kill -9. */
  async #startPostgres(): Promise<void> {
    const plan = { folder: this.#folder, port: this.#ports.postgres, durable: true };
    this.#postgres = await startPostgres(plan);
    await untilReady(this.#postgres.server, this.#signal);
    await untilConnects(this.#postgres.url, this.#signal);
  }

  async #startTemporal(): Promise<void> {
    this.#temporal = startTemporal({
      binary: this.#binary,
      folder: this.#folder,
      port: this.#ports.temporal,
      uiPort: this.#ports.temporalUi,
      dynamicConfig: {},
    });
    await untilReady(this.#temporal.server, this.#signal);
  }

  async #startAzurite(site: SiteName): Promise<void> {
    const before = this.#azurites.get(site)?.blobs;
    const started = startAzurite(this.#folder, site, this.#ports.azurites.get(site)!, before);
    this.#azurites.set(site, started);
    await untilReady(started.server, this.#signal);
  }
}

/** The file that says `ready` may be of the server that was killed. */
async function untilConnects(url: string, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + CONNECTS_MS;
  for (;;) {
    try {
      return await (await connectDatabase(url)).close();
    } catch (error) {
      if (signal.aborted || performance.now() > deadline) throw error;
      await sleep(50);
    }
  }
}

export const credentialVariable = (site: SiteName): string => `DEBGEO_SOAK_${site.toUpperCase()}`;

async function kill(server: Server): Promise<void> {
  process.kill(server.identity.pid, 'SIGKILL');
  await server.ended;
}
