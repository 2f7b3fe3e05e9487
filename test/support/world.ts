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
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Client } from '@temporalio/client';
import { sql } from 'kysely';
import type { Logger } from 'pino';

import type { Deps } from '../../activities/deps.ts';
import type { Activities } from '../../activities/index.ts';
import { applyConfiguration } from '../../src/database/configuration/apply-configuration.ts';
import { connectDatabase, type Database } from '../../src/database/orm.ts';
import { all } from '../../src/database/sql.ts';
import {
  readStatus,
  type DistributionStatus,
  type SiteStatus,
} from '../../src/database/views/status.ts';
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
import { aConfiguration } from './configuration.ts';
import { replicationOf } from './replication-of.ts';
import { freshNamespace, migratedDatabase, servers } from './servers.ts';
import { tune, type Tuning } from './tuning.ts';
import { startWorldSite, type WorldSite } from './world-site.ts';
import { startChild, startInside, type WorldWorker } from './world-worker.ts';

/**
 * What the worker of a world does instead of the real activities: `(real) => ({ ...real,
 * publishSnapshot: wrong })`.
 */
export type Planted = (real: Activities, world: World) => Activities;

export interface WorldOptions {
  readonly sites?: readonly string[];
  readonly suites?: readonly string[];
  readonly archive?: Partial<Omit<SignedArchiveOptions, 'folder' | 'suite' | 'key'>>;
  readonly activities?: Planted | undefined;
  /**
   * The same, but wrong on purpose: `update` and `until` wait for PLANTED_MS only, because what the
   * fault keeps away does not come.
   */
  readonly planted?: Planted | undefined;
  /**
   * What the activities reach instead of the real: an archive with shorter times, a store that
   * lies.
   */
  readonly deps?: (real: Deps) => Deps;
  /** `inside` the test's process (default), a `child` that can be killed, or `none` yet. */
  readonly worker?: 'inside' | 'child' | 'none';
  readonly sliceMs?: number;
  /** The bundle of other workflows than today's, for a worker inside of the test's process. */
  readonly codePath?: string;
  /**
   * The way of a worker inside of the test's process to the database, if it is not the straight
   * one.
   */
  readonly databaseUrl?: (straight: string) => Promise<string>;
  /** How often a worker inside of the test's process reconciles. */
  readonly reconcileMs?: number;
  /** For a child: what its environment says besides, and who takes the lines of its log. */
  readonly environment?: NodeJS.ProcessEnv;
  readonly logLines?: string[];
  /**
   * Where a worker inside of the test's process logs; what the SDK says goes to the first one of a
   * process.
   */
  readonly log?: Logger;
  /** How long `update` and `until` wait. */
  readonly settleMs?: number;
}

/** Failures are tried again after tens of milliseconds, not minutes: waits are parameters. */
export const TUNING = { gatherMs: 50, drainMs: 5_000, backoffInitialMs: 300, backoffCapMs: 2_000 };
const SETTLE_MS = 60_000;
/** With a planted fault: what does not come within this does not come. */
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
  readonly #settleMs: number;
  readonly #released = new Map<string, string>();
  #worker: WorldWorker | null = null;

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
    this.#settleMs = options.settleMs ?? (options.planted ? PLANTED_MS : SETTLE_MS);
    this.#stop = stop;
  }

  /** Does this when the test ends, while everything in the world still runs. */
  beforeStop(work: () => Promise<unknown>): void {
    this.#stop.unshift(work);
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

  /** Changes rows as `tune` does, of all that have these columns or of the one of this name. */
  tune(tuning: Tuning, name?: string): Promise<void> {
    return tune(this.database, tuning, name);
  }

  /** In the order in which they were opened. */
  incidents(code: string): Promise<Incident[]> {
    return all(
      this.database.read,
      sql<Incident>`
        select s.name as site, i.path, i.expected, i.found, i.times,
               i.resolved_at is not null as resolved
        from incidents i
        left join replication_sites s on s.id = i.site_id
        where i.code = ${code}
        order by i.id`,
    );
  }

  /** What is on record of a kind, in its order. */
  events(what: string): Promise<RecordedEvent[]> {
    return all(
      this.database.read,
      sql<RecordedEvent>`
        select generation, facts
        from distribution_events
        where what = ${what}
        order by id`,
    );
  }

  /**
   * The archive forgets its pool, so that another file can be released at an old path: what careful
   * archives never do.
   */
  async forgetPool(): Promise<void> {
    await rm(join(this.archiveFolder, 'pool'), { recursive: true, force: true });
  }

  /** What the archive serves. */
  get archiveFolder(): string {
    return join(this.folder, 'archive');
  }

  /** @param path below the root of the archive */
  releasedFile(path: string): Promise<Buffer> {
    return readFile(join(this.archiveFolder, path));
  }

  /** `debgeo update`: the outcome of a look that begins now. */
  async look(suite: string = this.suite): Promise<Awaited<ReturnType<typeof look>>> {
    // A child takes long to start beside other tests: it is waited for as for everything else.
    return this.withTemporal((client) => look(client, suite, { workerMs: this.#settleMs }));
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
    const published = await all(
      this.database.read,
      sql<{ generation: number }>`
        select p.generation
        from publications p
        join replication_sites s on s.id = p.site_id
        join debian_distributions d on d.id = p.distribution_id
        where s.name = ${site}
          and d.name = ${suite}
          and p.published_at is not null
        order by p.published_at, p.id`,
    );
    return published.map(({ generation }) => generation);
  }

  /**
   * Waits until the rows say something.
   * @throws what they say, if they do not in time
   */
  async until(
    holds: (status: DistributionStatus) => boolean,
    what: string,
    suite: string = this.suite,
    deadlineMs = this.#settleMs,
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

  async withTemporal<T>(work: (client: Client) => Promise<T>): Promise<T> {
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

  /** Starts the worker that this world is made for; one that was stopped or killed is replaced. */
  async startWorker(): Promise<void> {
    const start = this.#options.worker === 'child' ? startChild : startInside;
    const worker = await start(this, this.#options);
    this.#worker = worker;
    this.#stop.unshift(() => worker.stop());
  }

  /**
   * As systemd, Docker and Kubernetes stop a worker: a child by SIGTERM.
   * @returns its exit code, null if a signal ended it
   */
  stopWorker(): Promise<number | null> {
    assert.ok(this.#worker, 'no worker was started');
    return this.#worker.stop();
  }

  /** kill -9 of a child, until it is gone. */
  async killWorker(): Promise<void> {
    assert.ok(this.#worker, 'no worker was started');
    await this.#worker.kill();
  }

  /** For worlds whose worker may have been killed. */
  async startWorkerIfGone(): Promise<void> {
    if (this.#worker?.isGone() !== false) await this.startWorker();
  }
}

export interface Incident {
  readonly site: string | null;
  readonly path: string | null;
  readonly expected: string | null;
  readonly found: string | null;
  /** How often it was seen since it was opened. */
  readonly times: number;
  readonly resolved: boolean;
}

export interface RecordedEvent {
  readonly generation: number | null;
  readonly facts: Readonly<Record<string, unknown>>;
}

/** Makes a world, and takes it down when the test ends. */
export async function aWorld(t: TestContext, options: WorldOptions = {}): Promise<World> {
  const { sites: siteNames = ['fra', 'sin'], suites = ['bookworm'] } = options;
  const stop: (() => Promise<unknown>)[] = [];
  t.after(async () => {
    for (const one of stop) await one();
  });

  const [urls, databaseUrl, namespace] = await Promise.all([
    servers(),
    migratedDatabase(),
    freshNamespace(),
  ]);
  const folder = await mkdtemp(join(tmpdir(), 'debgeo-world-'));
  stop.unshift(() => rm(folder, { recursive: true, force: true }));
  const key = await createSigningKey('archive');
  const root = join(folder, 'archive');
  const archives = new Map(
    suites.map((suite) => [
      suite,
      createSignedArchive({ folder: root, suite, key, ...options.archive }),
    ]),
  );
  const archiveServer = await startArchiveServer(root);
  stop.unshift(() => archiveServer.close());
  const database = await connectDatabase(databaseUrl);
  stop.unshift(() => database.close());
  const clients = { keyring: key.publicBinary, folder: join(folder, 'apt') };
  const sites = new Map<string, WorldSite>();
  for (const [index, name] of siteNames.entries()) {
    const azurite = urls.blobs[index % urls.blobs.length]!;
    const site = await startWorldSite(name, azurite, clients);
    stop.unshift(() => site.proxy.close());
    sites.set(name, site);
  }
  await applyConfiguration(
    database,
    aConfiguration({
      archive: { url: archiveServer.url, keyring: key.publicBinary },
      sites: Object.fromEntries([...sites].map(([name, site]) => [name, placeOf(site)])),
      distributions: suites,
    }),
    false,
  );
  await tune(database, { waits: TUNING });

  const { temporalAddress } = urls;
  const parts = { key, archiveServer, archives, sites, database, databaseUrl, namespace, folder };
  const world = new World({ ...parts, temporalAddress }, options, stop);
  if (options.worker !== 'none') await world.startWorker();
  return world;
}

/** A site as the configuration has it. */
export const placeOf = ({ accountUrl, container: { containerName }, variable }: WorldSite) => ({
  account_url: accountUrl,
  container: containerName,
  public_url: `${accountUrl}/${containerName}`,
  credential: { env: variable },
});

/** The archive tells that it changed, as its operator's job would. */
export const nudge = (world: World, suite: string = world.suite): Promise<void> =>
  world.withTemporal((client) => sendDistributionChanged(client, suite));
