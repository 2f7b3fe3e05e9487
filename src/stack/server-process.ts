/**
 * One server of the keeper: a child in a session of its own, with a log file, a readiness probe and
 * a clean end.
 */
import { fork, spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';

import { DebgeoError } from '../domain/errors.ts';
import { identify, type ProcessIdentity } from './process-identity.ts';

export interface Server {
  readonly name: string;
  readonly identity: ProcessIdentity;
  /** true: the server is ready. Throws or answers false until then. */
  readonly probe: () => Promise<boolean>;
  readonly log: string;
  readonly stopBy: ServerPlan['stopBy'];
  /** Resolves when the process has ended: signal, exit code or error. */
  readonly ended: Promise<string>;
  stop(): Promise<void>;
}

export interface ServerPlan {
  readonly name: string;
  /** `module` runs under Node with an IPC channel; it closes when the channel ends. */
  readonly run: { readonly command: string } | { readonly module: string };
  readonly args: readonly string[];
  readonly log: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly user?: { readonly uid: number; readonly gid: number };
  readonly cwd: string;
  readonly stopBy: 'SIGINT' | 'SIGTERM' | 'disconnect';
  readonly probe: () => Promise<boolean>;
}

const READY_MS = 60_000;
const STOP_MS = 20_000;

/**
 * Of the caller's environment only PATH reaches a server: PGPORT or TEMPORAL_ADDRESS of a shell
 * would change what the server does.
 */
const cleanEnvironment = (home: string) => ({
  PATH: process.env['PATH'] ?? '/usr/bin:/bin',
  HOME: home,
  LC_ALL: 'C',
});

export function spawnServer(plan: ServerPlan): Server {
  const log = openSync(plan.log, 'a', 0o600);
  const options = {
    cwd: plan.cwd,
    env: { ...cleanEnvironment(plan.cwd), ...plan.environment },
    detached: true,
    ...plan.user,
  };
  const child =
    'module' in plan.run
      ? fork(plan.run.module, plan.args, {
          ...options,
          execArgv: [],
          stdio: ['ignore', log, log, 'ipc'],
        })
      : spawn(plan.run.command, plan.args, { ...options, stdio: ['ignore', log, log] });
  closeSync(log);
  const ended = endOf(child);
  const identity = child.pid === undefined ? null : identify(child.pid);
  return {
    name: plan.name,
    identity: identity ?? { pid: child.pid ?? -1, started: 'never' },
    probe: plan.probe,
    log: plan.log,
    stopBy: plan.stopBy,
    ended,
    stop: () => stop(child, plan, ended),
  };
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
}

async function stop(
  child: ChildProcess,
  { name, stopBy }: ServerPlan,
  ended: Promise<string>,
): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  if (stopBy !== 'disconnect') child.kill(stopBy);
  else if (child.connected) child.disconnect();
  const stubborn = setTimeout(() => {
    console.error(`${name} did not stop within ${STOP_MS / 1000} s and is killed`);
    child.kill('SIGKILL');
  }, STOP_MS);
  await ended;
  clearTimeout(stubborn);
}

/**
 * Resolves when the server is ready.
 * @throws DebgeoError STACK_FAILED, with the end of its log: it ended, or was not ready in a minute
 */
export async function untilReady(server: Server, signal: AbortSignal): Promise<void> {
  let end: string | null = null;
  void server.ended.then((how) => (end = how));
  const deadline = Date.now() + READY_MS;
  while (end === null && Date.now() < deadline) {
    if (await server.probe().catch(() => false)) return;
    await wait(20, undefined, { signal });
  }
  throw new DebgeoError('STACK_FAILED', `${server.name} did not start: see ${server.log}`, {
    expected: `${server.name} answers within ${READY_MS / 1000} s`,
    found: `${end ?? 'no answer'}; its log ends: ${lastLines(server.log)}`,
  });
}

function lastLines(log: string): string {
  const lines = readFileSync(log, 'utf8').trim().split('\n');
  return lines.slice(-3).join(' | ').slice(-600);
}

/** An HTTP probe; `accept` looks for what only the expected server answers. */
export const answers =
  (url: string, accept: (response: Response) => boolean) => async (): Promise<boolean> => {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    await response.body?.cancel();
    return accept(response);
  };
