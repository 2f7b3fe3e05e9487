/**
 * The Temporal development server with its web UI, on 127.0.0.1, with its state in one SQLite file.
 */
import { join } from 'node:path';

import { answers, spawnServer, type Server } from './server-process.ts';

/** Names and JSON values as `--dynamic-config-value` takes them. */
export type DynamicConfig = Readonly<Record<string, string | number | boolean>>;

/**
 * The server's own task queues are read at most 20 times a second otherwise: 90 ms for an activity
 * that does nothing, instead of 11.
 */
const PACE: DynamicConfig = {
  'history.transferProcessorMaxPollRPS': 1000,
  'history.timerProcessorMaxPollRPS': 1000,
};

export interface TemporalPlan {
  readonly binary: string;
  readonly folder: string;
  readonly port: number;
  readonly uiPort: number;
  readonly dynamicConfig: DynamicConfig;
}

/**
 * Spawns the server; ready means that the UI reaches the frontend and the namespace `default` is
 * there.
 */
export function startTemporal(plan: TemporalPlan): { server: Server; address: string; ui: string } {
  const ui = `http://127.0.0.1:${plan.uiPort}`;
  const settings = Object.entries({ ...PACE, ...plan.dynamicConfig });
  const server = spawnServer({
    name: 'Temporal',
    run: { command: plan.binary },
    args: [
      ...[
        'server',
        'start-dev',
        '--ip',
        '127.0.0.1',
        '--port',
        String(plan.port),
        '--ui-port',
        String(plan.uiPort),
      ],
      ...[
        '--db-filename',
        join(plan.folder, 'temporal.sqlite'),
        '--namespace',
        'default',
        '--log-level',
        'warn',
      ],
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
