/** The Temporal development server with its UI, on 127.0.0.1; its state is one SQLite file. */
import { join } from 'node:path';

import { answers, spawnServer, type Server } from './server-process.ts';

/** Names and JSON values as `--dynamic-config-value` takes them. */
export type DynamicConfig = Readonly<Record<string, string | number | boolean>>;

/**
 * By default the server reads its own task queues at most 20 times a second: an activity that does
 * nothing takes 90 ms instead of 11.
 */
const POLL_RATES: DynamicConfig = {
  'history.transferProcessorMaxPollRPS': 1000,
  'history.timerProcessorMaxPollRPS': 1000,
};

/**
 * A process that is frozen keeps its connection, and the server goes on for a minute to give tasks
 * to its polls: each is lost until it times out. With these the server gives a connection up on
 * which nothing was heard for ten seconds, as soon as Temporal notices that a heartbeat is missing.
 * One that is busy has eight to answer.
 */
const KEEP_ALIVE: DynamicConfig = {
  'frontend.keepAliveTime': '2s',
  'frontend.keepAliveTimeout': '8s',
};

export interface TemporalPlan {
  readonly binary: string;
  readonly folder: string;
  readonly port: number;
  readonly uiPort: number;
  readonly dynamicConfig: DynamicConfig;
}

/** Spawns the server; it is ready when the UI knows the namespace `default`. */
export function startTemporal(plan: TemporalPlan): { server: Server; address: string; ui: string } {
  const ui = `http://127.0.0.1:${plan.uiPort}`;
  const flags = {
    ip: '127.0.0.1',
    port: String(plan.port),
    'ui-port': String(plan.uiPort),
    'db-filename': join(plan.folder, 'temporal.sqlite'),
    namespace: 'default',
    'log-level': 'warn',
  };
  const settings = Object.entries({ ...POLL_RATES, ...KEEP_ALIVE, ...plan.dynamicConfig });
  const server = spawnServer({
    name: 'Temporal',
    run: { command: plan.binary },
    args: [
      'server',
      'start-dev',
      ...Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]),
      ...['--sqlite-pragma', 'journal_mode=wal', '--sqlite-pragma', 'synchronous=normal'],
      ...settings.flatMap(([name, value]) => [
        '--dynamic-config-value',
        `${name}=${JSON.stringify(value)}`,
      ]),
    ],
    log: join(plan.folder, 'temporal.log'),
    cwd: plan.folder,
    stopBy: 'SIGTERM',
    probe: answers(`${ui}/api/v1/namespaces/default`, (response) => response.ok),
  });
  return { server, address: `127.0.0.1:${plan.port}`, ui };
}
