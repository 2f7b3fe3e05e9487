/**
 * `debgeo worker` as operators start it, but as a child process, on the Node of its parent; it ends
 * when the parent has gone. For the demo and the bench.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { delimiter, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const LEAN_NODE = fileURLToPath(new URL('../lean-node', import.meta.url));
const DEBGEO = fileURLToPath(new URL('../main.ts', import.meta.url));
const WORKER_HOST = fileURLToPath(new URL('worker-host.ts', import.meta.url));

export interface ForkOptions {
  /** Behind `debgeo worker`. */
  readonly args?: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
  readonly nodeOptions?: readonly string[];
}

/** @param logFile what the worker prints is appended to it */
export function forkWorker(
  logFile: string,
  { args = [], environment = process.env, nodeOptions = [] }: ForkOptions = {},
): ChildProcess {
  const log = openSync(logFile, 'a', 0o600);
  try {
    return fork(WORKER_HOST, [DEBGEO, 'worker', ...args], {
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
