/**
 * A world for one test: an archive, sites, a worker, clients. Everything in it is real; what is
 * replaced is said by the test that replaces it.
 *
 *   const world = await aWorld(t, { sites: ['fra', 'sin'] });
 *   await world.release(aPackage('hello', '1.0'));
 *   await world.update();
 *   assert.equal(await world.site('sin').aptSees('hello'), '1.0');
 */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import {
  BlobServiceClient,
  StorageSharedKeyCredential,
  type ContainerClient,
} from '@azure/storage-blob';
import { sql } from 'kysely';
import { pino, type Logger } from 'pino';

import type { Deps } from '../../activities/deps.ts';
import { createActivities, type Activities } from '../../activities/index.ts';
import {
  applyConfiguration,
  type AppliedConfiguration,
} from '../../src/database/configuration/apply-configuration.ts';
import { connectDatabase, type Database } from '../../src/database/orm.ts';
import {
  readStatus,
  type DistributionStatus,
  type SiteStatus,
} from '../../src/database/views/status.ts';
import { listDistributions, listSiteQueues, listSites } from '../../src/database/views/work.ts';
import { createDeps } from '../../src/deps.ts';
import type { Replication } from '../../src/domain/replication.ts';
import { startArchiveServer, type ArchiveServer } from '../../src/made-archive/archive-server.ts';
import { makeBinaryPackage, type Package } from '../../src/made-archive/deb-package.ts';
import {
  createSignedArchive,
  type ReleaseContent,
  type ReleaseOptions,
  type SignedArchive,
  type SignedArchiveOptions,
} from '../../src/made-archive/signed-archive.ts';
import { createSigningKey, type SigningKey } from '../../src/made-archive/signing-key.ts';
import { connectTemporal } from '../../src/temporal/connection.ts';
import {
  sendCommand,
  sendDistributionChanged,
  sendVerify,
  type CommandName,
} from '../../src/temporal/signals.ts';
import { look } from '../../src/temporal/updates.ts';
import { createAptClient } from '../../src/witness/apt-client.ts';
import type { Client } from '../../src/witness/client.ts';
import { runWorker } from '../../src/worker/worker.ts';
import { aConfiguration } from './configuration.ts';
import { startFaultProxy, type FaultProxy } from './fault-proxy.ts';
import { replicationOf } from './replication-of.ts';
import { freshNamespace, migratedDatabase, servers, workflowBundle } from './servers.ts';

/**
 * What the worker of a world does instead of the real activities: `(real) => ({ ...real,
 * publishSnapshot: wrong })`.
 */
export type Planted = (real: Activities, world: World) => Activities;

export interface WorldOptions {
  readonly sites?: readonly string[];
  readonly suites?: readonly string[];
  readonly archive?: Partial<Omit<SignedArchiveOptions, 'folder' | 'suite' | 'key'>>;
  readonly activities?: Planted;
  /**
   * What the activities reach instead of the real: an archive with shorter times, a store that
   * lies.
   */
  readonly deps?: (real: Deps) => Deps;
  /** `inside` the test's process (default), a `child` that can be killed, or `none` yet. */
  readonly worker?: 'inside' | 'child' | 'none';
  readonly sliceMs?: number;
  /** For a child: what its environment says besides, and who takes the lines of its log. */
  readonly environment?: NodeJS.ProcessEnv;
  readonly logLines?: string[];
  /**
   * Where a worker inside of the test's process logs; what the SDK says goes to the first one of a
   * process.
   */
  readonly log?: Logger;
  /**
   * How long `update` and `until` wait; short where a planted fault is expected to keep them
   * waiting.
   */
  readonly settleMs?: number;
}

/** Failures are tried again after tens of milliseconds, not minutes: waits are parameters. */
const TUNING = { gatherMs: 50, drainMs: 5_000, backoffInitialMs: 300, backoffCapMs: 2_000 };
const SETTLE_MS = 60_000;
/** For worlds with a planted fault: what does not come within this does not come. */
export const PLANTED_MS = 15_000;

export const aPackage = (
  name: string,
  version: string,
  payload: Uint8Array = randomBytes(2_000),
): Package => makeBinaryPackage({ name, version, architecture: 'amd64', payload });

export class World {
  readonly key: SigningKey;
  readonly archiveServer: ArchiveServer;
  readonly archives: ReadonlyMap<string, SignedArchive>;
  readonly sites: ReadonlyMap<string, WorldSite>;
  readonly database: Database;
  readonly databaseUrl: string;
  readonly namespace: string;
  readonly folder: string;
  readonly temporalAddress: string;
  readonly #stop: (() => Promise<unknown>)[];
  readonly #options: WorldOptions;
  readonly #released = new Map<string, string>();
  #worker: { shutdown(): Promise<void> } | null = null;
  child: ChildProcess | null = null;

  constructor(
    parts: Pick<
      World,
      | 'key'
      | 'archiveServer'
      | 'archives'
      | 'sites'
      | 'database'
      | 'databaseUrl'
      | 'namespace'
      | 'folder'
      | 'temporalAddress'
    >,
    options: WorldOptions,
    stop: (() => Promise<unknown>)[],
  ) {
    this.key = parts.key;
    this.archiveServer = parts.archiveServer;
    this.archives = parts.archives;
    this.sites = parts.sites;
    this.database = parts.database;
    this.databaseUrl = parts.databaseUrl;
    this.namespace = parts.namespace;
    this.folder = parts.folder;
    this.temporalAddress = parts.temporalAddress;
    this.#options = options;
    this.#stop = stop;
  }

  get suite(): string {
    return [...this.archives.keys()][0]!;
  }

  site(name: string): WorldSite {
    const found = this.sites.get(name);
    assert.ok(found, `no site ${name} in this world`);
    return found;
  }

  archive(suite: string = this.suite): SignedArchive {
    return this.archives.get(suite)!;
  }

  /** The archive releases exactly these packages. */
  async release(
    packages: readonly Package[],
    options?: ReleaseOptions,
    suite: string = this.suite,
  ): Promise<ReleaseContent> {
    for (const one of packages)
      if (one.kind === 'binary')
        this.#released.set(
          one.file.name,
          createHash('sha256').update(one.file.bytes).digest('hex'),
        );
    return this.archive(suite).release(packages, options);
  }

  /** What was released under this file name; undefined: nothing ever was. */
  releasedSha256(fileName: string): string | undefined {
    return this.#released.get(fileName);
  }

  async incidents(
    code: string,
  ): Promise<
    { site: string | null; path: string | null; expected: string | null; found: string | null }[]
  > {
    const { rows } = await sql<{
      site: string | null;
      path: string | null;
      expected: string | null;
      found: string | null;
    }>`
      select s.name as site, i.path, i.expected, i.found from incidents i left join replication_sites s on s.id = i.site_id
      where i.code = ${code} order by i.id`.execute(this.database.read.kysely);
    return rows;
  }

  /**
   * The archive forgets its pool, so that another file can be released at an old path: what careful
   * archives never do.
   */
  async forgetPool(): Promise<void> {
    await rm(join(this.folder, 'archive/pool'), { recursive: true, force: true });
  }

  releasedFile(path: string): Promise<Buffer> {
    return readFile(join(this.folder, 'archive', path));
  }

  /** `debgeo update`: the outcome of a look that begins now. */
  async look(suite: string = this.suite): Promise<Awaited<ReturnType<typeof look>>> {
    return this.withTemporal((client) => look(client, suite));
  }

  /** `debgeo update --wait`: what each site serves is the newest generation, verified. */
  async update(suite: string = this.suite): Promise<number> {
    const found = await this.look(suite);
    assert.ok(
      found.outcome === 'captured' || found.outcome === 'unchanged',
      `the look ended with ${JSON.stringify(found)}`,
    );
    await this.until(
      (status) =>
        status.sites.every((site) => site.served >= found.generation! && site.state === 'synced'),
      `generation ${found.generation} everywhere`,
      suite,
    );
    return found.generation!;
  }

  async command(what: CommandName, site?: string, suite: string = this.suite): Promise<void> {
    await this.withTemporal((client) => sendCommand(client, what, suite, site));
  }

  /** `debgeo verify --wait`: returns when every site named has answered. */
  async verify(site?: string, suite: string = this.suite): Promise<DistributionStatus> {
    const askedAt = Date.now();
    await this.withTemporal((client) => sendVerify(client, suite, site));
    return this.until(
      (status) =>
        status.sites.every(
          (one) =>
            (site !== undefined && one.site !== site) ||
            ((one.verifyAnsweredAt ?? 0) >= askedAt && one.state === 'synced'),
        ),
      'verified as asked',
      suite,
    );
  }

  async status(suite: string = this.suite): Promise<DistributionStatus> {
    const [found] = await readStatus(this.database, suite);
    assert.ok(found, `no distribution ${suite}`);
    return found;
  }

  async siteStatus(site: string, suite: string = this.suite): Promise<SiteStatus> {
    return (await this.status(suite)).sites.find((one) => one.site === site)!;
  }

  /** The lane's row as the workflow sees it. */
  async replication(site: string, suite: string = this.suite): Promise<Replication> {
    return replicationOf(this.database.read, { distribution: suite, site });
  }

  /** In the order in which they were published there. */
  async servedGenerations(site: string, suite: string = this.suite): Promise<number[]> {
    const { rows } = await sql<{ generation: number }>`
      select p.generation from publications p join replication_sites s on s.id = p.site_id join debian_distributions d on d.id = p.distribution_id
      where s.name = ${site} and d.name = ${suite} and p.published_at is not null order by p.published_at, p.id`.execute(
      this.database.read.kysely,
    );
    return rows.map((row) => row.generation);
  }

  /**
   * Waits for the rows to say something; a deadline, so that a test that waits for ever fails with
   * what it saw.
   */
  async until(
    holds: (status: DistributionStatus) => boolean,
    what: string,
    suite: string = this.suite,
    deadlineMs = this.#options.settleMs ?? SETTLE_MS,
  ): Promise<DistributionStatus> {
    const deadline = Date.now() + deadlineMs;
    for (;;) {
      const status = await this.status(suite);
      if (holds(status)) return status;
      if (Date.now() > deadline)
        assert.fail(`not within ${deadlineMs} ms: ${what}; ${JSON.stringify(status, null, 1)}`);
      await sleep(50);
    }
  }

  async withTemporal<T>(
    work: (client: Awaited<ReturnType<typeof connectTemporal>>) => Promise<T>,
  ): Promise<T> {
    const client = await connectTemporal({
      address: this.temporalAddress,
      namespace: this.namespace,
    });
    try {
      return await work(client);
    } finally {
      await client.connection.close();
    }
  }

  /**
   * Starts the worker that this world is made for. A child that was killed is replaced by the next
   * call.
   */
  async startWorker(): Promise<void> {
    if (this.#options.worker === 'child') return this.#startChild();
    const log = this.#options.log ?? pino({ level: process.env['DEBGEO_TEST_LOG'] ?? 'silent' });
    const joined = await createDeps({ databaseUrl: this.databaseUrl }, log);
    const deps = {
      ...joined,
      ...(this.#options.sliceMs === undefined ? {} : { sliceMs: this.#options.sliceMs }),
    };
    const real = createActivities(this.#options.deps?.(deps) ?? deps);
    const worker = await runWorker({
      temporal: { address: this.temporalAddress, namespace: this.namespace },
      activities: this.#options.activities?.(real, this) ?? real,
      sites: () => listSiteQueues(this.database),
      distributions: () => listDistributions(this.database),
      prunes: () => listSites(this.database),
      sitesMs: 200,
      graceMs: 5_000,
      codePath: await workflowBundle(),
      log,
    });
    this.#worker = worker;
    this.#stop.unshift(async () => {
      await worker.shutdown();
      await joined.close();
    });
  }

  async stopWorker(): Promise<void> {
    await this.#worker?.shutdown();
  }

  async #startChild(): Promise<void> {
    const environment = {
      ...process.env,
      DATABASE_URL: this.databaseUrl,
      TEMPORAL_ADDRESS: this.temporalAddress,
      TEMPORAL_NAMESPACE: this.namespace,
      DEBGEO_LOG_LEVEL: process.env['DEBGEO_TEST_LOG'] ?? 'error',
      ...this.#options.environment,
      ...(this.#options.sliceMs === undefined
        ? {}
        : { DEBGEO_SLICE_MS: String(this.#options.sliceMs) }),
    };
    const child = spawn(
      process.execPath,
      [join(import.meta.dirname, '../../src/main.ts'), 'worker'],
      {
        env: environment,
        stdio: ['ignore', 'ignore', this.#options.logLines === undefined ? 'inherit' : 'pipe'],
      },
    );
    if (child.stderr !== null)
      createInterface(child.stderr).on('line', (line) => this.#options.logLines?.push(line));
    this.child = child;
    this.#stop.unshift(() => stopChild(child, 'SIGTERM'));
  }

  /**
   * SIGTERM, as systemd, Docker and Kubernetes stop a worker; its exit code, null if it was killed
   * in the end.
   */
  async terminateWorker(): Promise<number | null> {
    assert.ok(this.child);
    await stopChild(this.child, 'SIGTERM');
    return this.child.exitCode;
  }

  /** kill -9 of the worker, and waits until it is gone. */
  async killWorker(): Promise<void> {
    if (this.child !== null) await stopChild(this.child, 'SIGKILL');
  }

  /** For worlds whose worker may have been killed: starts it unless it runs. */
  async startWorkerIfGone(): Promise<void> {
    if (this.child === null || this.child.exitCode !== null || this.child.signalCode !== null)
      await this.startWorker();
  }

  async stop(): Promise<void> {
    for (const stop of this.#stop) await stop();
  }
}

const stopChild = async (child: ChildProcess, signal: NodeJS.Signals): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
};

export class WorldSite {
  readonly name: string;
  readonly proxy: FaultProxy;
  readonly container: ContainerClient;
  /** What a client writes into sources.list, past the proxy: the site's own bytes. */
  readonly aptUrl: string;
  readonly #client: (suite: string) => Promise<Client>;
  readonly #clients = new Map<string, Promise<Client>>();

  constructor(
    parts: { name: string; proxy: FaultProxy; container: ContainerClient; aptUrl: string },
    client: (site: WorldSite, suite: string) => Promise<Client>,
  ) {
    this.name = parts.name;
    this.proxy = parts.proxy;
    this.container = parts.container;
    this.aptUrl = parts.aptUrl;
    this.#client = (suite) => client(this, suite);
  }

  /** A private apt of this site, with its lists kept between calls. */
  apt(suite: string): Promise<Client> {
    const known = this.#clients.get(suite) ?? this.#client(suite);
    this.#clients.set(suite, known);
    return known;
  }

  /** The version that a fresh `apt-get update` finds; throws with apt's words when update fails. */
  async aptSees(name: string, suite: string): Promise<string | null> {
    const apt = await this.apt(suite);
    const updated = await apt.update({ fresh: true });
    assert.equal(updated.exitCode, 0, updated.output);
    return apt.versionOf(name);
  }

  /**
   * Every path below the mount and the bytes there, as the container holds them: for before and
   * after.
   */
  async contents(): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    for await (const blob of this.container.listBlobsFlat())
      found.set(blob.name, `${blob.properties.etag} ${blob.properties.contentLength}`);
    return found;
  }

  async read(path: string): Promise<Buffer> {
    return this.container.getBlockBlobClient(path).downloadToBuffer();
  }
}

/** Makes a world and takes it down when the test ends. */
export const aWorld = async (t: TestContext, options: WorldOptions = {}): Promise<World> => {
  const { sites: siteNames = ['fra', 'sin'], suites = ['bookworm'] } = options;
  const stop: (() => Promise<unknown>)[] = [];
  let world: World | undefined;
  t.after(async () => {
    if (world === undefined) for (const one of stop) await one();
    else await world.stop();
  });

  const [urls, databaseUrl, namespace] = await Promise.all([
    servers(),
    migratedDatabase(),
    freshNamespace(),
  ]);
  const folder = await mkdtemp(join(tmpdir(), 'debgeo-world-'));
  stop.unshift(() => rm(folder, { recursive: true, force: true }));
  const key = await createSigningKey('archive');
  const archives = new Map(
    suites.map((suite) => [
      suite,
      createSignedArchive({ folder: join(folder, 'archive'), suite, key, ...options.archive }),
    ]),
  );
  const archiveServer = await startArchiveServer(join(folder, 'archive'));
  stop.unshift(() => archiveServer.close());
  const database = await connectDatabase(databaseUrl);
  stop.unshift(() => database.close());

  const sites = new Map<string, WorldSite>();
  const places: Record<string, Partial<AppliedConfiguration['sites'][string]>> = {};
  for (const [index, name] of siteNames.entries()) {
    const azurite = urls.blobs[index % urls.blobs.length]!;
    const credential = new StorageSharedKeyCredential(azurite.account, azurite.key);
    const container = new BlobServiceClient(azurite.url, credential).getContainerClient(
      `w-${randomBytes(6).toString('hex')}`,
    );
    await container.create({ access: 'blob' });
    const proxy = await startFaultProxy(new URL(azurite.url).origin);
    stop.unshift(() => proxy.close());
    const variable = `DEBGEO_TEST_${container.containerName.toUpperCase().replaceAll('-', '_')}`;
    process.env[variable] = `AccountName=${azurite.account};AccountKey=${azurite.key}`;
    const accountUrl = `${proxy.origin}${new URL(azurite.url).pathname}`.replace(/\/$/, '');
    places[name] = {
      account_url: accountUrl,
      container: container.containerName,
      public_url: `${accountUrl}/${container.containerName}`,
      credential: { env: variable },
    };
    const client = async (site: WorldSite, suite: string): Promise<Client> =>
      createAptClient({
        url: site.aptUrl,
        suite,
        components: ['main'],
        architecture: 'amd64',
        keyring: key.publicBinary,
        folder: join(folder, 'apt', name, suite),
      });
    sites.set(
      name,
      new WorldSite({ name, proxy, container, aptUrl: `${container.url}/debian` }, client),
    );
  }

  await applyConfiguration(
    database,
    aConfiguration({
      archive: { url: archiveServer.url, keyring: key.publicBinary },
      sites: places,
      distributions: suites,
    }),
    false,
  );
  await sql`update debian_distributions set tuning = ${JSON.stringify(TUNING)}::jsonb`.execute(
    database.read.kysely,
  );

  world = new World(
    {
      key,
      archiveServer,
      archives,
      sites,
      database,
      databaseUrl,
      namespace,
      folder,
      temporalAddress: urls.temporalAddress,
    },
    options,
    stop,
  );
  if (options.worker !== 'none') await world.startWorker();
  return world;
};

/** For scenarios in which the archive says that something changed without anybody asking. */
export const nudge = (world: World, suite: string = world.suite): Promise<void> =>
  world.withTemporal((client) => sendDistributionChanged(client, suite));
