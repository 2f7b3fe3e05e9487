/**
 * `debgeo worker` as operators start it, but as a child of this process and on its Node, which ends
 * when this process has gone.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { delimiter, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const LEAN_NODE = fileURLToPath(new URL('../lean-node', import.meta.url));
const WORKER_HOST = fileURLToPath(new URL('worker-host.ts', import.meta.url));

export interface ForkOptions {
  readonly args?: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
  readonly nodeOptions?: readonly string[];
}

/** @param logFile what it says is appended */
export function forkWorker(
  logFile: string,
  { args = [], environment = process.env, nodeOptions = [] }: ForkOptions = {},
): ChildProcess {
  const log = openSync(logFile, 'a', 0o600);
  try {
    return fork(WORKER_HOST, ['worker', ...args], {
      execPath: LEAN_NODE,
      execArgv: [...nodeOptions],
      env: {
        ...environment,
        PATH: [dirname(process.execPath), environment['PATH'] ?? []].flat().join(delimiter),
      },
      stdio: ['ignore', log, log, 'ipc'],
    });
  } finally {
    closeSync(log);
  }
}
