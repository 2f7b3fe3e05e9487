/** The machine and the versions of a run: figures without them mean nothing. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';

import { sql } from 'kysely';

import { connectDatabase } from '../src/database/orm.ts';
import { one } from '../src/database/sql.ts';
import { versionOf } from './peers.ts';
import type { Testbed } from './testbed.ts';

export async function describeMachine(testbed: Testbed): Promise<Record<string, string>> {
  const database = await connectDatabase(testbed.stack.databaseUrl);
  const postgres = await one(
    database.read,
    sql<{ version: string }>`select current_setting('server_version') as version`,
  );
  await database.close();
  const temporal = await fetch(`${testbed.stack.temporalUi}/api/v1/cluster-info`).then(
    (answer) => answer.json() as Promise<{ serverVersion?: string }>,
  );
  const server = temporal.serverVersion ?? 'unknown';
  return {
    date: new Date().toISOString(),
    commit: commit(),
    processor: `${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown'}`,
    memory: `${(totalmem() / 1e9).toFixed(1)} GB`,
    kernel: release(),
    node: process.versions.node,
    azurite: dependency('azurite'),
    postgresql: postgres!.version,
    temporal: `server ${server}, SDK ${dependency('@temporalio/worker')}`,
    'storage-blob': dependency('@azure/storage-blob'),
    ...Object.fromEntries(
      ['rclone', 'debmirror', 'aptly'].map((program) => [
        program,
        versionOf(program) ?? 'not installed',
      ]),
    ),
  };
}

const dependency = (name: string): string => {
  const file = new URL(`../node_modules/${name}/package.json`, import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
};

function commit(): string {
  try {
    const at = { cwd: new URL('..', import.meta.url), encoding: 'utf8' } as const;
    const git = (...args: readonly string[]) => execFileSync('git', args, at).trim();
    const changed = git('status', '--porcelain', '--', 'src', 'workflows', 'activities') !== '';
    return `${git('rev-parse', '--short', 'HEAD')}${changed ? ' and changes' : ''}`;
  } catch {
    return 'unknown';
  }
}
