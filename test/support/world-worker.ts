/** The worker of a world: inside the test's process, or a child that can be killed. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';

import { pino } from 'pino';

import { createActivities } from '../../activities/index.ts';
import { rollUpOverdue } from '../../src/database/scrub/end-pass.ts';
import {
  listArchiveQueues,
  listSiteQueues,
  listSites,
  listWantedDistributions,
} from '../../src/database/views/work.ts';
import { createDeps } from '../../src/deps.ts';
import { runWorker } from '../../src/worker/worker.ts';
import { hasExited, stopChild } from './child.ts';
import { environmentOf, MAIN } from './debgeo.ts';
import { workflowBundle } from './servers.ts';
import type { World, WorldOptions } from './world.ts';

export interface WorldWorker {
  readonly isGone: () => boolean;
  /**
   * As systemd, Docker and Kubernetes stop a worker; again is without effect.
   * @returns the exit code of a child, null if a signal ended it
   */
  stop(): Promise<number | null>;
  /** kill -9. */
  kill(): Promise<unknown>;
}

const LEVEL = process.env['DEBGEO_TEST_LOG'];

export async function startInside(world: World, options: WorldOptions): Promise<WorldWorker> {
  const log = options.log ?? pino({ level: LEVEL ?? 'silent' });
  const databaseUrl = (await options.databaseUrl?.(world.databaseUrl)) ?? world.databaseUrl;
  const joined = await createDeps({ databaseUrl }, log);
  const { sliceMs } = options;
  const deps = { ...joined, ...(sliceMs === undefined ? {} : { sliceMs }) };
  const real = createActivities(options.deps?.(deps) ?? deps);
  const activities = options.planted ?? options.activities;
  const worker = await runWorker({
    temporal: { address: world.temporalAddress, namespace: world.namespace },
    activities: activities?.(real, world) ?? real,
    archives: () => listArchiveQueues(world.database),
    sites: () => listSiteQueues(world.database),
    rollUp: () => rollUpOverdue(world.database),
    distributions: () => listWantedDistributions(world.database),
    prunes: () => listSites(world.database),
    sitesMs: 200,
    ...(options.reconcileMs === undefined ? {} : { reconcileMs: options.reconcileMs }),
    graceMs: 5_000,
    codePath: options.codePath ?? (await workflowBundle()),
    log,
  });
  let stopping: Promise<null> | undefined;
  return {
    isGone: () => stopping !== undefined,
    stop: () =>
      (stopping ??= worker
        .shutdown()
        .then(() => joined.close())
        .then(() => null)),
    kill: () => Promise.reject(new Error('only a child can be killed: worker: "child"')),
  };
}

export function startChild(world: World, options: WorldOptions): WorldWorker {
  const { sliceMs, logLines } = options;
  const child: ChildProcess = spawn(process.execPath, [MAIN, 'worker'], {
    env: {
      ...process.env,
      ...environmentOf(world),
      DEBGEO_LOG_LEVEL: LEVEL ?? 'error',
      ...options.environment,
      ...(sliceMs === undefined ? {} : { DEBGEO_SLICE_MS: String(sliceMs) }),
    },
    stdio: ['ignore', 'ignore', logLines === undefined ? 'inherit' : 'pipe'],
  });
  if (child.stderr !== null)
    createInterface(child.stderr).on('line', (line) => logLines?.push(line));
  return {
    isGone: () => hasExited(child),
    stop() {
      child.kill('SIGCONT'); // one that is frozen would not end
      return stopChild(child);
    },
    kill: () => stopChild(child, 'SIGKILL'),
  };
}
