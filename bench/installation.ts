/**
 * One empty installation of debgeo: a database, a namespace, containers, and a worker process. The
 * bench drives it as the command line does: by `applyConfiguration`, the Update `look` and the
 * signals of src/temporal, and the rows that `debgeo update --wait` waits for.
 */
import { execFile, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import type { Client } from '@temporalio/client';

import {
  applyConfiguration,
  type AppliedConfiguration,
} from '../src/database/configuration/apply-configuration.ts';
import { connectDatabase, type Database } from '../src/database/orm.ts';
import { readDatabaseClock } from '../src/database/server/clock.ts';
import { readProgress, type LaneProgress } from '../src/database/views/progress.ts';
import { isParked } from '../src/domain/replication.ts';
import { connectTemporal } from '../src/temporal/connection.ts';
import { describePollers } from '../src/temporal/describe.ts';
import { sendVerify } from '../src/temporal/signals.ts';
import { look, type FinalLookOutcome } from '../src/temporal/updates.ts';
import { forkWorker } from '../src/worker/fork-worker.ts';
import type { Corpus } from './corpus.ts';
import type { Place, Testbed } from './testbed.ts';

const DEBGEO = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const MOUNT = 'debian';
/** A poll interval longer than any work: the bench itself says when debgeo looks. */
const NEVER_MS = 6 * 3_600_000;
const POLLERS_MS = 60_000;
const SETTLE_MS = 30 * 60_000;
/** How often rows are read: often enough for a change of a second, and seldom in a long one. */
const WATCH_MS = { first: 20, later: 100, laterAfter: 3_000 };

export interface InstallationOptions {
  readonly corpus: Corpus;
  readonly sites: number;
  /** One unless given. */
  readonly workers?: number;
  /** The worker runs under --cpu-prof and writes its profile to this folder when it stops. */
  readonly profileFolder?: string;
  /** Archives of these URLs besides, each with a distribution of the same name. */
  readonly neighbours?: Readonly<Record<string, { readonly url: string; readonly corpus: Corpus }>>;
  /** The account URL for debgeo, where a proxy stands in front of the site. */
  readonly accountUrl?: (place: Place) => Promise<string>;
}

export interface Installation {
  readonly database: Database;
  readonly client: Client;
  readonly places: readonly Place[];
  readonly distributions: readonly string[];
  /** Of the worker. */
  readonly pid: number;
  look(distribution?: string): Promise<FinalLookOutcome>;
  /** A look now, until every site serves what it found. @returns seconds */
  update(distribution?: string): Promise<number>;
  /** From the signal until every site has read back, judged and answered. @returns seconds */
  verify(): Promise<number>;
  /** `debgeo update --wait` as a whole process. @returns seconds */
  updateByCommand(): Promise<number>;
  /** VmHWM of the worker so far, bytes. */
  peakMemory(): number;
  close(): Promise<void>;
}

export async function openInstallation(
  testbed: Testbed,
  options: InstallationOptions,
): Promise<Installation> {
  const { corpus } = options;
  const [databaseUrl, namespace, places, archiveUrl] = await Promise.all([
    testbed.freshDatabase(),
    testbed.freshNamespace(),
    testbed.freshPlaces(options.sites),
    testbed.archive.serve(corpus),
  ]);
  const { temporalAddress } = testbed.stack;
  const environment = environmentOf(databaseUrl, temporalAddress, namespace, places);
  const database = await connectDatabase(databaseUrl);
  const client = await connectTemporal({ address: temporalAddress, namespace });
  const { profileFolder } = options;
  const nodeOptions =
    profileFolder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`];
  const workers = Array.from({ length: options.workers ?? 1 }, () =>
    forkWorker(join(testbed.folder, 'worker.log'), { environment, nodeOptions }),
  );
  const [worker] = workers as [ChildProcess];
  await configure(
    database,
    client,
    await configurationOf(archiveUrl, options, places),
    workers.length,
  );
  const onFailure = reporter(testbed.say);
  const [first] = corpus.suites as [string];

  return {
    database,
    client,
    places,
    distributions: corpus.suites,
    pid: worker.pid!,
    look: (distribution = first) => look(client, distribution),
    update: (distribution = first) => update(database, client, distribution, onFailure),
    verify: () => verify(database, client, first, onFailure),
    async updateByCommand() {
      const began = performance.now();
      await runDebgeo(['update', first, '--wait'], environment);
      return secondsSince(began);
    },
    peakMemory: () => peakMemoryOf(worker.pid!),
    async close() {
      await Promise.all(workers.map(stopWorker));
      await client.connection.close();
      await database.close();
      await Promise.all(places.map(({ container }) => container.delete()));
    },
  };
}

function environmentOf(
  databaseUrl: string,
  temporalAddress: string,
  namespace: string,
  places: readonly Place[],
): NodeJS.ProcessEnv {
  const credentials = places.map(({ site, server }) => [
    credentialOf(site),
    `AccountName=${server.account};AccountKey=${server.key}`,
  ]);
  return {
    ...process.env,
    DATABASE_URL: databaseUrl,
    TEMPORAL_ADDRESS: temporalAddress,
    TEMPORAL_NAMESPACE: namespace,
    ...Object.fromEntries(credentials),
  };
}

/**
 * The sites first: a worker reads every two seconds which queues it polls, and no work measures
 * that wait.
 */
async function configure(
  database: Database,
  client: Client,
  configuration: AppliedConfiguration,
  workers: number,
): Promise<void> {
  await applyConfiguration(database, { ...configuration, distributions: {} }, false);
  for (const site of Object.keys(configuration.sites))
    await untilPolled(client, `debgeo-site-${site}`, workers);
  await untilPolled(client, 'debgeo', workers);
  await applyConfiguration(database, configuration, false);
}

type OnFailure = (what: string) => void;

/** Says each failure once. */
function reporter(say: (line: string) => void): OnFailure {
  const said = new Set<string>();
  return (what) => {
    if (!said.has(what)) say(`a lane failed, and will try again: ${what}`);
    said.add(what);
  };
}

async function update(
  database: Database,
  client: Client,
  distribution: string,
  onFailure: OnFailure,
): Promise<number> {
  const began = performance.now();
  const found = await look(client, distribution);
  if (found.outcome === 'failed' || found.outcome === 'removed')
    throw new Error(`the look failed: ${JSON.stringify(found.report)}`);
  const generation = found.generation ?? 0;
  const isServed = (lane: LaneProgress) => lane.served >= generation;
  await untilSettled(database, distribution, began, isServed, onFailure);
  return secondsSince(began);
}

async function verify(
  database: Database,
  client: Client,
  distribution: string,
  onFailure: OnFailure,
): Promise<number> {
  const askedAt = await readDatabaseClock(database);
  const began = performance.now();
  await sendVerify(client, distribution);
  const isAnswered = (lane: LaneProgress) => (lane.verifyAnsweredAt ?? 0) >= askedAt;
  await untilSettled(database, distribution, began, isAnswered, onFailure);
  return secondsSince(began);
}

export const secondsSince = (began: number): number => (performance.now() - began) / 1000;

const credentialOf = (site: string): string => `DEBGEO_BENCH_${site.toUpperCase()}`;

/** The URL of the archive's mount at a place. */
export const siteUrl = (place: Place): string => `${place.container.url}/${MOUNT}`;

async function configurationOf(
  archiveUrl: string,
  options: InstallationOptions,
  places: readonly Place[],
): Promise<AppliedConfiguration> {
  const keyring = readFileSync(options.corpus.keyring);
  const sites: Record<string, AppliedConfiguration['sites'][string]> = {};
  for (const place of places) {
    const container = place.container.containerName;
    sites[place.site] = {
      account_url: (await options.accountUrl?.(place)) ?? place.server.url,
      container,
      prefix: '',
      public_url: `${place.server.url}/${container}`,
      credential: { env: credentialOf(place.site) },
      state: 'present',
    };
  }
  const names = places.map((place) => place.site);
  const distribution = (suite: string): AppliedConfiguration['distributions'][string] => ({
    archive: 'bench',
    suite,
    components: [],
    architectures: [],
    sites: names,
    primary: names[0]!,
    poll: NEVER_MS,
    accept_undated: false,
    state: 'present',
  });
  const local = { redirect_origins: [], private_network: true };
  const neighbours = Object.entries(options.neighbours ?? {});
  const besides = neighbours.map(([name, { url, corpus }]) => [
    name,
    { ...local, url, mount: name, keyring: readFileSync(corpus.keyring) },
  ]);
  return {
    archives: {
      bench: { ...local, url: archiveUrl, mount: MOUNT, keyring },
      ...Object.fromEntries(besides),
    },
    sites,
    distributions: Object.fromEntries([
      ...options.corpus.suites.map((suite) => [suite, distribution(suite)]),
      ...neighbours.map(([name, { corpus }]) => [
        name,
        { ...distribution(corpus.suites[0]!), archive: name },
      ]),
    ]),
  };
}

async function stopWorker(worker: ChildProcess): Promise<void> {
  if (worker.exitCode !== null || worker.signalCode !== null) return;
  const gone = once(worker, 'exit');
  worker.kill('SIGTERM');
  await gone;
}

async function untilPolled(client: Client, queue: string, workers: number): Promise<void> {
  for (
    const deadline = Date.now() + POLLERS_MS;
    (await describePollers(client, queue)) < workers;
    await sleep(50)
  )
    if (Date.now() > deadline) throw new Error(`fewer than ${workers} workers poll ${queue}`);
}

/**
 * Waits until every lane is `synced` and `done`. A lane that fails tries again by itself, and that
 * time is measured too: `onFailure` reports it, because the figure is then not that of the work.
 */
async function untilSettled(
  database: Database,
  distribution: string,
  began: number,
  done: (lane: LaneProgress) => boolean,
  onFailure: OnFailure,
): Promise<void> {
  for (;;) {
    const lanes = await readProgress(database, distribution);
    if (lanes.length > 0 && lanes.every((lane) => lane.state === 'synced' && done(lane))) return;
    const parked = lanes.find(({ state, failure }) =>
      isParked({ state, code: failure?.code ?? null }),
    );
    if (parked !== undefined)
      throw new Error(
        `${distribution} failed at ${parked.site}: ${JSON.stringify(parked.failure)}`,
      );
    for (const lane of lanes)
      if (lane.state === 'failed')
        onFailure(
          `${lane.site}: ${lane.failure?.code ?? 'UNKNOWN'} ${lane.failure?.message ?? ''}`,
        );
    const elapsed = performance.now() - began;
    if (elapsed > SETTLE_MS) throw new Error(`not settled: ${JSON.stringify(lanes)}`);
    await sleep(elapsed < WATCH_MS.laterAfter ? WATCH_MS.first : WATCH_MS.later);
  }
}

function runDebgeo(args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [DEBGEO, ...args], { env }, (error, _, stderr) =>
      error ? reject(new Error(`debgeo ${args.join(' ')}: ${stderr.trim()}`)) : resolve(),
    );
  });
}

export function peakMemoryOf(pid: number): number {
  const found = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  if (found === null) throw new Error(`process ${pid} has no VmHWM`);
  return Number(found[1]) * 1024;
}
