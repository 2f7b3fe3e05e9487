/** Child processes of tests: one way to wait for their end, to stop them and to run them. */
import { spawn, type ChildProcess, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';

/** More than any command of a test takes. */
const COMMAND_MS = 60_000;

export const hasExited = ({ exitCode, signalCode }: ChildProcess): boolean =>
  exitCode !== null || signalCode !== null;

/** Waits until the process has ended. @returns its exit code; null: a signal ended it */
export async function exitOf(child: ChildProcess): Promise<number | null> {
  if (!hasExited(child)) await once(child, 'exit');
  return child.exitCode;
}

/** Sends the signal and waits for the end. @returns as `exitOf` */
export async function stopChild(
  child: ChildProcess,
  signal: NodeJS.Signals = 'SIGTERM',
): Promise<number | null> {
  child.kill(signal); // without effect where it has ended
  return exitOf(child);
}

export interface Ran {
  /** Null: it took longer than a minute. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts a file on this Node; what it prints can be read. */
export const startNode = (
  file: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
): ChildProcessByStdio<null, Readable, Readable> =>
  spawn(process.execPath, [file, ...args], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });

/** Runs a file on this Node to its end. */
export async function runNode(
  file: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<Ran> {
  const child = startNode(file, args, environment);
  const tooLong = setTimeout(() => child.kill('SIGKILL'), COMMAND_MS);
  const [stdout, stderr, [exitCode]] = await Promise.all([
    child.stdout.toArray(),
    child.stderr.toArray(),
    once(child, 'close') as Promise<[number | null]>,
  ]);
  clearTimeout(tooLong);
  return { exitCode, stdout: stdout.join(''), stderr: stderr.join('') };
}
