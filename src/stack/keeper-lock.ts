/** One keeper per folder; and the servers that a killed keeper left running. */
import { createHash } from 'node:crypto';
import { readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

import { DebgeoError } from '../domain/errors.ts';
import { endProcess, identify, isAlive, type ProcessIdentity } from './process-identity.ts';
import type { Server } from './server-process.ts';

/** In `keeper.json`, written again with every server that is spawned. */
export interface KeeperRecord {
  readonly keeper: ProcessIdentity | null;
  readonly parent: ProcessIdentity;
  readonly servers: readonly {
    readonly name: string;
    readonly stopBy: Server['stopBy'];
    readonly identity: ProcessIdentity;
  }[];
}

/** A keeper may take so long to stop its servers after its parent has gone. */
const HANDOVER_MS = 30_000;
/** A leftover that has not ended by then is killed. */
const STOP_MS = 20_000;

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
 * has no file that could stay behind. Waits for a keeper whose parent has gone.
 * @throws DebgeoError STACK_BUSY: the parent of another keeper lives
 */
export async function acquireLock(folder: string, say: (line: string) => void): Promise<void> {
  const name = `\0debgeo-stack-${createHash('sha256').update(realpathSync(folder)).digest('hex')}`;
  const deadline = Date.now() + HANDOVER_MS;
  for (let attempt = 0; !(await listen(name)); attempt++) {
    const parent = readRecord(folder)?.parent;
    if ((parent && isAlive(parent)) || Date.now() > deadline) {
      throw new DebgeoError('STACK_BUSY', `the servers in ${folder} are running already`, {
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
 * Stops the servers of a killed keeper. Only under the lock: no keeper lives then, and a recorded
 * server that runs has no owner.
 */
export async function stopLeftovers(folder: string, say: (line: string) => void): Promise<void> {
  const leftovers = readRecord(folder)?.servers.filter(({ identity }) => isAlive(identity)) ?? [];
  for (const { name, identity } of leftovers)
    say(`stopping ${name} (process ${identity.pid}), left by a run that was killed`);
  await Promise.all(
    leftovers.map(({ identity, stopBy }) =>
      endProcess(identity, stopBy === 'disconnect' ? null : stopBy, STOP_MS),
    ),
  );
}
