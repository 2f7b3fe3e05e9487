/**
 * Real servers for dev, demo and tests: PostgreSQL, Temporal with its UI, and any number of
 * Azurites, all in one folder.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { DebgeoError, type ErrorReport } from '../domain/errors.ts';
import type { StackUrls } from '../settings/stack-file.ts';
import type { KeeperReport, StackPlan } from './keeper.ts';
import { identify } from './process-identity.ts';
import type { DynamicConfig } from './temporal.ts';

export type { BlobServer, StackUrls } from '../settings/stack-file.ts';

export interface Stack extends StackUrls {
  /** Stops all servers cleanly; resolves when all have ended. May be called again. */
  stop(): Promise<void>;
  /** Resolves when the servers have ended: with null after `stop`, else with the reason. */
  readonly ended: Promise<ErrorReport | null>;
}

export interface StackOptions {
  readonly folder: string;
  /** One Azurite per name, which is also its account: 3 to 24 lower-case letters and digits. */
  readonly blobs: readonly string[];
  readonly say: (line: string) => void;
  readonly temporal?: DynamicConfig;
  /** false: faster, and a power cut may lose data. For tests. Default true. */
  readonly durable?: boolean;
  /** Gives up the start, or stops the servers as `stop` does, for a handler that cannot wait. */
  readonly signal?: AbortSignal;
}

/**
 * For tests: without these, a run that continues as new within a second of its start waits for the
 * rest of that second.
 */
export const FAST_INTERVALS: DynamicConfig = {
  'history.workflowIdReuseMinimalInterval': '10ms',
  'history.continueAsNewMinInterval': '10ms',
};

const KEEPER = fileURLToPath(new URL('keeper.ts', import.meta.url));

/**
 * Starts the servers, with the data of the last run if the folder has any, and writes `stack.json`.
 * They stop when `stop` is called, and when this process ends, however it ends.
 * @throws DebgeoError STACK_BUSY, STACK_FAILED, TEMPORAL_BINARY_MISSING
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const folder = resolve(options.folder);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const keeper = forkKeeper(folder);
  const gone = new Promise<null>((done) => keeper.once('exit', () => done(null)));
  let failure: ErrorReport | null = null;
  const ready = new Promise<StackUrls>((done) => {
    keeper.on('message', (report: KeeperReport) => {
      if ('say' in report) options.say(report.say);
      else if ('ready' in report) done(report.ready);
      else failure = report.failed;
    });
  });
  const release = () => keeper.connected && keeper.disconnect();
  keeper.send(planOf(options, folder));
  options.signal?.addEventListener('abort', release, { once: true });

  const urls = await Promise.race([ready, gone]);
  if (!urls) throw DebgeoError.of(failure ?? died(folder, keeper));
  let stopping = false;
  return {
    ...urls,
    ended: gone.then(() => failure ?? (stopping ? null : died(folder, keeper))),
    stop: async () => {
      stopping = true;
      release();
      await gone;
    },
  };
}

/**
 * In a session of its own, out of reach of Ctrl-C. `execArgv` is empty because the keeper must not
 * inherit the flags of a test runner.
 */
function forkKeeper(folder: string): ChildProcess {
  const log = openSync(join(folder, 'keeper.log'), 'a', 0o600);
  try {
    return fork(KEEPER, [], { detached: true, execArgv: [], stdio: ['ignore', log, log, 'ipc'] });
  } finally {
    closeSync(log);
  }
}

function planOf(options: StackOptions, folder: string): StackPlan {
  const parent = identify(process.pid);
  if (!parent)
    throw new DebgeoError('STACK_FAILED', 'the servers need Linux', {
      expected: '/proc',
      found: process.platform,
    });
  return {
    folder,
    blobs: options.blobs,
    dynamicConfig: options.temporal ?? {},
    durable: options.durable ?? true,
    parent,
  };
}

const died = (folder: string, keeper: ChildProcess): ErrorReport => ({
  code: 'STACK_FAILED',
  message: `the keeper of the servers ended: see ${join(folder, 'keeper.log')}`,
  expected: 'runs until it is stopped',
  found: keeper.signalCode ?? `exit code ${keeper.exitCode}`,
});
