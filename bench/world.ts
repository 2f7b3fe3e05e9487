/**
 * One installation of debgeo with nothing in it: a database, a namespace, containers, and a worker
 * process. It is driven through the product's own front: `applyConfiguration`, the Update `look`
 * and the signals of src/temporal/, and the rows that `debgeo update --wait` waits for.
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
import { forkWorker } from '../src/demo/fork-worker.ts';
import { connectTemporal } from '../src/temporal/connection.ts';
import { describePollers } from '../src/temporal/describe.ts';
import { sendVerify } from '../src/temporal/signals.ts';
import { look, type FinalLookOutcome } from '../src/temporal/updates.ts';
import type { Corpus } from './corpus.ts';
import type { Place, Stage } from './stage.ts';

const DEBGEO = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const MOUNT = 'debian';
const NEVER_MS = 6 * 3_600_000;
const POLLS_MS = 60_000;
const SETTLE_MS = 30 * 60_000;
/**
 * How often rows are asked: often enough for a change of a second, seldom enough not to be measured
 * in a long one.
 */
const WATCH_MS = { first: 20, later: 100, laterAfter: 3_000 };

export interface WorldOptions {
  readonly corpus: Corpus;
  readonly sites: number;
  /** The worker runs under --cpu-prof and leaves its profile in this folder when it stops. */
  readonly profileFolder?: string;
  /** What stands in front of a site instead of the site itself. */
  readonly accountUrl?: (place: Place) => Promise<string>;
}

export interface World {
  readonly database: Database;
  readonly client: Client;
  readonly places: readonly Place[];
  readonly distributions: readonly string[];
  /** The worker's. */
  readonly pid: number;
  look(distribution?: string): Promise<FinalLookOutcome>;
  /** A look now, until every site serves what it found. Seconds. */
  update(distribution?: string): Promise<number>;
  /** From the signal until every site has read back, judged and answered. Seconds. */
  verify(): Promise<number>;
  /** `debgeo update --wait` as a whole process. Seconds. */
  updateByCommand(): Promise<number>;
  /** VmHWM of the worker so far, bytes. */
  peakMemory(): number;
  close(): Promise<void>;
}

export async function openWorld(stage: Stage, options: WorldOptions): Promise<World> {
  const { corpus } = options;
  const [databaseUrl, namespace, places, archiveUrl] = await Promise.all([
    stage.freshDatabase(),
    stage.freshNamespace(),
    stage.freshPlaces(options.sites),
    stage.archive.serve(corpus),
  ]);
  const environment: NodeJS.ProcessEnv = {
    ...process.env,
    DATABASE_URL: databaseUrl,
    TEMPORAL_ADDRESS: stage.stack.temporalAddress,
    TEMPORAL_NAMESPACE: namespace,
  };
  for (const { site, server } of places)
    environment[credentialOf(site)] = `AccountName=${server.account};AccountKey=${server.key}`;
  const database = await connectDatabase(databaseUrl);
  const client = await connectTemporal({ address: stage.stack.temporalAddress, namespace });
  const nodeOptions =
    options.profileFolder === undefined
      ? []
      : ['--cpu-prof', `--cpu-prof-dir=${options.profileFolder}`];
  const worker = forkWorker(join(stage.folder, 'worker.log'), { environment, nodeOptions });

  // First the sites: a worker reads its queues every two seconds, and that wait is not what is
  // measured.
  const configuration = await configurationOf(archiveUrl, options, places);
  await applyConfiguration(database, { ...configuration, distributions: {} }, false);
  for (const { site } of places) await untilPolled(client, `debgeo-site-${site}`);
  await untilPolled(client, 'debgeo');
  await applyConfiguration(database, configuration, false);

  const failures = new Set<string>();
  const failed = (what: string): void => {
    if (!failures.has(what)) stage.say(`a lane failed, and will try again: ${what}`);
    failures.add(what);
  };
  return {
    database,
    client,
    places,
    distributions: corpus.suites,
    pid: worker.pid!,
    look: (distribution = corpus.suites[0]!) => look(client, distribution),
    async update(distribution = corpus.suites[0]!) {
      const began = performance.now();
      const found = await look(client, distribution);
      if (found.outcome === 'failed' || found.outcome === 'removed')
        throw new Error(`the look failed: ${JSON.stringify(found.report)}`);
      await untilSettled(
        database,
        distribution,
        began,
        (lane) => lane.served >= (found.generation ?? 0),
        failed,
      );
      return secondsSince(began);
    },
    async verify() {
      const [distribution] = corpus.suites as [string];
      const askedAt = await readDatabaseClock(database);
      const began = performance.now();
      await sendVerify(client, distribution);
      await untilSettled(
        database,
        distribution,
        began,
        (lane) => (lane.verifyAnsweredAt ?? 0) >= askedAt,
        failed,
      );
      return secondsSince(began);
    },
    async updateByCommand() {
      const began = performance.now();
      await runDebgeo(['update', corpus.suites[0]!, '--wait'], environment);
      return secondsSince(began);
    },
    peakMemory: () => peakMemoryOf(worker.pid!),
    async close() {
      await stopWorker(worker);
      await client.connection.close();
      await database.close();
      await Promise.all(places.map(({ container }) => container.delete()));
    },
  };
}

export const secondsSince = (began: number): number => (performance.now() - began) / 1000;

const credentialOf = (site: string): string => `DEBGEO_BENCH_${site.toUpperCase()}`;

/** Where the archive stands at a place, for whoever writes it. */
export const siteUrl = (place: Place): string => `${place.container.url}/${MOUNT}`;

async function configurationOf(
  archiveUrl: string,
  options: WorldOptions,
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
  return {
    archives: { bench: { url: archiveUrl, mount: MOUNT, keyring, redirect_origins: [] } },
    sites,
    distributions: Object.fromEntries(
      options.corpus.suites.map((suite) => [suite, distribution(suite)]),
    ),
  };
}

async function stopWorker(worker: ChildProcess): Promise<void> {
  if (worker.exitCode !== null || worker.signalCode !== null) return;
  const gone = once(worker, 'exit');
  worker.kill('SIGTERM');
  await gone;
}

async function untilPolled(client: Client, queue: string): Promise<void> {
  for (
    const deadline = Date.now() + POLLS_MS;
    (await describePollers(client, queue)) === 0;
    await sleep(50)
  )
    if (Date.now() > deadline) throw new Error(`no worker polls ${queue}`);
}

/**
 * A lane that fails tries again by itself, and what that takes is measured, too: said, so that
 * nobody takes it for speed.
 */
async function untilSettled(
  database: Database,
  distribution: string,
  began: number,
  done: (lane: LaneProgress) => boolean,
  onFailure: (what: string) => void,
): Promise<void> {
  for (;;) {
    const lanes = await readProgress(database, distribution);
    if (lanes.length > 0 && lanes.every((lane) => lane.state === 'synced' && done(lane))) return;
    const parked = lanes.find((lane) => lane.state === 'failed' && lane.retryAt === null);
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
