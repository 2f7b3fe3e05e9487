/** One keeper per folder, and what a keeper that was killed left running. */
import { createHash } from 'node:crypto';
import { readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

import { DebgeoError } from '../domain/errors.ts';
import { endProcess, identify, isAlive, type ProcessIdentity } from './process-identity.ts';
import type { Server } from './server-process.ts';

/** Kept in `keeper.json`, rewritten at once when a server is spawned. */
export interface KeeperRecord {
  readonly keeper: ProcessIdentity | null;
  readonly parent: ProcessIdentity;
  readonly servers: readonly {
    readonly name: string;
    readonly stopBy: Server['stopBy'];
    readonly identity: ProcessIdentity;
  }[];
}

/** As long as a keeper may take to stop its servers after its parent has gone. */
const HANDOVER_MS = 30_000;

const fileOf = (folder: string): string => join(folder, 'keeper.json');

export function writeRecord(
  folder: string,
  parent: ProcessIdentity,
  servers: readonly Server[],
): void {
  const spawned = servers.map(({ name, stopBy, identity }) => ({ name, stopBy, identity }));
  const record: KeeperRecord = { keeper: identify(process.pid), parent, servers: spawned };
  const partial = `${fileOf(folder)}.partial`;
  writeFileSync(partial, JSON.stringify(record), { mode: 0o600 });
  renameSync(partial, fileOf(folder));
}

export const removeRecord = (folder: string): void => rmSync(fileOf(folder), { force: true });

export function readRecord(folder: string): KeeperRecord | null {
  try {
    return JSON.parse(readFileSync(fileOf(folder), 'utf8')) as KeeperRecord;
  } catch {
    return null;
  }
}

/**
 * Held until this process ends, however it ends: a socket in Linux's abstract namespace (unix(7))
 * has no file that could stay behind. STACK_BUSY while the parent of another keeper lives; a keeper
 * whose parent has gone is waited for.
 */
export async function takeLock(folder: string, say: (line: string) => void): Promise<void> {
  const name = `\0debgeo-stack-${createHash('sha256').update(realpathSync(folder)).digest('hex')}`;
  const deadline = Date.now() + HANDOVER_MS;
  for (let attempt = 0; !(await listen(name)); attempt++) {
    const parent = readRecord(folder)?.parent;
    if ((parent && isAlive(parent)) || Date.now() > deadline) {
      throw new DebgeoError('STACK_BUSY', `the servers in ${folder} run already`, {
        expected: 'a folder that no other process runs servers in',
        found: parent
          ? `process ${parent.pid} runs them`
          : 'another process is starting or stopping them',
      });
    }
    if (attempt === 0) say('waiting for the servers of the last run to stop');
    await wait(100);
  }
}

function listen(name: string): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(false) : reject(error),
    );
    server.listen(name, () => resolve(true));
  });
}

/**
 * Stops the servers of a keeper that was killed. Only with the lock: then no keeper lives, and
 * whatever is recorded is nobody's.
 */
export async function stopLeftovers(folder: string, say: (line: string) => void): Promise<void> {
  const left = readRecord(folder)?.servers.filter((server) => isAlive(server.identity)) ?? [];
  for (const server of left)
    say(`stopping ${server.name} (process ${server.identity.pid}), left by a run that was killed`);
  await Promise.all(
    left.map((server) =>
      endProcess(server.identity, server.stopBy === 'disconnect' ? null : server.stopBy, 20_000),
    ),
  );
}
