/** What a soak plays on: servers, an archive, two sites with two suites each, workers, apts. */
import { mkdtempSync, mkdirSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { BlobServiceClient, StorageSharedKeyCredential } from '@azure/storage-blob';
import type { Client } from '@temporalio/client';
import { sql } from 'kysely';
import { stringify } from 'yaml';

import { connectDatabase, type Database } from '../../src/database/orm.ts';
import { run } from '../../src/database/sql.ts';
import type { DistributionStatus } from '../../src/database/views/status.ts';
import { connectTemporal } from '../../src/temporal/connection.ts';
import { sendSiteChanged } from '../../src/temporal/signals.ts';
import { createAptClient } from '../../src/witness/apt-client.ts';
import { runNode, type Ran } from '../support/child.ts';
import { MAIN } from '../support/debgeo.ts';
import type { Reader } from './clients.ts';
import { SITES, SUITES, WORKERS, type SiteName } from './decisions.ts';
import { Releases } from './releases.ts';
import { MOUNT, Rot, type RotPlace } from './rot.ts';
import { credentialVariable, Servers } from './servers.ts';

const CONTAINER = 'distributions';
/** The shortest that a configuration may say. */
export const GRACE_MS = 60_000;
/** Failures are tried again after parts of a second, as in tests: a soak has no hours. */
const WAITS = { gatherMs: 50, drainMs: 5_000, backoffInitialMs: 300, backoffCapMs: 5_000 };
const FIRST_SERVED_MS = 180_000;

export interface StageOptions {
  readonly say: (line: string) => void;
  /** Within which each site is read back; null: the scrub is off. */
  readonly scrubMs: number | null;
  /** Gives up the start. */
  readonly signal: AbortSignal;
}

export class Stage {
  /** Removed by `close`; the logs below stay. */
  readonly folder: string;
  readonly logs: string;
  readonly servers: Servers;
  readonly releases: Releases;
  readonly rot: Rot;
  readonly readers: readonly Reader[];
  #database: Promise<Database> | null = null;
  #temporal: Promise<Client> | null = null;

  constructor(
    parts: Pick<Stage, 'folder' | 'logs' | 'servers' | 'releases' | 'readers'>,
    places: ReadonlyMap<SiteName, RotPlace>,
  ) {
    this.folder = parts.folder;
    this.logs = parts.logs;
    this.servers = parts.servers;
    this.releases = parts.releases;
    this.readers = parts.readers;
    this.rot = new Rot(places, parts.releases.folder, () => parts.releases.newestPaths());
  }

  /** A pool of this process: it opens new connections where the server ended them. */
  database(): Promise<Database> {
    this.#database ??= connectDatabase(this.servers.databaseUrl, { poolMax: 2 }).catch((error) => {
      this.#database = null;
      throw error;
    });
    return this.#database;
  }

  temporal(): Promise<Client> {
    this.#temporal ??= connectTemporal({
      address: this.servers.temporalAddress,
      namespace: 'default',
    }).catch((error) => {
      this.#temporal = null;
      throw error;
    });
    return this.#temporal;
  }

  debgeo(words: string): Promise<Ran> {
    return runNode(MAIN, words.split(' '), this.servers.environment);
  }

  /** What `debgeo status --json` says. */
  async status(): Promise<DistributionStatus[]> {
    const { exitCode, stdout, stderr } = await this.debgeo('status --json');
    if (exitCode !== 0) throw new Error(`debgeo status ends with ${exitCode}: ${stderr}`);
    return JSON.parse(stdout) as DistributionStatus[];
  }

  /** So often a site is read back; null: never. Shorter than a configuration may say. */
  async scrubEvery(intervalMs: number | null): Promise<void> {
    const { read } = await this.database();
    await run(
      read,
      sql`update scrubs set interval_ms = ${intervalMs}, next_at = now(), since = now()`,
    );
    const temporal = await this.temporal();
    for (const site of SITES) await sendSiteChanged(temporal, site);
  }

  async close(): Promise<void> {
    await (await this.#database?.catch(() => null))?.close().catch(() => {});
    await (await this.#temporal?.catch(() => null))?.connection.close().catch(() => {});
    await this.servers.stop();
    await this.releases.server.close();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Both suites are served at both sites when it resolves. */
export async function openStage(options: StageOptions): Promise<Stage> {
  const folder = mkdtempSync(join(tmpdir(), 'debgeo-soak-'));
  const logs = `${folder}-logs`;
  mkdirSync(logs);
  let servers: Servers | null = null;
  let releases: Releases | null = null;
  try {
    releases = await Releases.open(folder);
    servers = await Servers.start(folder, logs, options.say, options.signal);
    const places = new Map<SiteName, RotPlace>();
    for (const site of SITES) places.set(site, await openSite(servers, site));
    const readers = await openReaders(folder, places, releases.key.publicBinary);
    const stage = new Stage({ folder, logs, servers, releases, readers }, places);
    await configure(stage, options);
    return stage;
  } catch (error) {
    await servers?.stop();
    await releases?.server.close();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    throw error;
  }
}

async function openSite(servers: Servers, site: SiteName): Promise<RotPlace> {
  const { account, key, url, folder } = servers.blobs(site);
  const credential = new StorageSharedKeyCredential(account, key);
  // A site that is stopped is found so at once: the soak tries again by itself.
  const client = new BlobServiceClient(url, credential, { retryOptions: { maxTries: 1 } });
  const container = client.getContainerClient(CONTAINER);
  await container.create({ access: 'blob' });
  return { container, blobFolder: folder };
}

const openReaders = (
  folder: string,
  places: ReadonlyMap<SiteName, RotPlace>,
  keyring: Uint8Array,
): Promise<Reader[]> =>
  Promise.all(
    [...places].flatMap(([site, { container }]) =>
      SUITES.map(async (suite) => {
        const url = `${container.url}/${MOUNT}`;
        const client = await createAptClient({
          url,
          suite,
          components: ['main'],
          architecture: 'amd64',
          sources: false,
          keyring,
          folder: join(folder, 'apt', site, suite),
        });
        return { site, suite, url, client };
      }),
    ),
  );

async function configure(stage: Stage, { scrubMs, signal }: StageOptions): Promise<void> {
  const { folder, servers, releases } = stage;
  const keyring = join(folder, 'archive.gpg');
  await writeFile(keyring, releases.key.publicBinary);
  const file = join(folder, 'debgeo.yaml');
  await writeFile(file, stringify(configurationOf(stage, keyring)));
  await ran(stage, 'migrate');
  await ran(stage, `apply ${file}`);
  const { read } = await stage.database();
  await run(read, sql`update debian_distributions set tuning = ${WAITS}`);
  for (const name of WORKERS) servers.startWorker(name);
  const deadline = performance.now() + FIRST_SERVED_MS;
  for (;;) {
    signal.throwIfAborted();
    const statuses = await stage.status();
    if (statuses.every(({ sites }) => sites.every(({ served }) => served > 0))) break;
    if (performance.now() > deadline)
      throw new Error(`nothing is served after ${FIRST_SERVED_MS} ms: ${JSON.stringify(statuses)}`);
    await sleep(200);
  }
  await stage.scrubEvery(scrubMs);
}

async function ran(stage: Stage, words: string): Promise<void> {
  const { exitCode, stdout, stderr } = await stage.debgeo(words);
  if (exitCode !== 0) throw new Error(`debgeo ${words} ends with ${exitCode}: ${stdout}${stderr}`);
}

const configurationOf = ({ servers, releases }: Stage, keyring: string): unknown => ({
  archives: { [MOUNT]: { url: releases.server.url, keyring, private_network: true } },
  sites: Object.fromEntries(
    SITES.map((site) => [
      site,
      {
        account_url: servers.blobs(site).url,
        container: CONTAINER,
        credential: { env: credentialVariable(site) },
        grace: `${GRACE_MS / 1_000}s`,
        keep: 2,
        prune: '1m',
      },
    ]),
  ),
  distributions: Object.fromEntries(
    SUITES.map((suite) => [
      suite,
      { archive: MOUNT, suite, sites: SITES, primary: SITES[0], poll: '5s' },
    ]),
  ),
});
