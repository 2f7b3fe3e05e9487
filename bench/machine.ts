/** On what, and with which versions: figures without them mean nothing. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';

import { sql } from 'kysely';

import { connectDatabase } from '../src/database/orm.ts';
import { versionOf } from './peers.ts';
import type { Stage } from './stage.ts';

export async function describeMachine(stage: Stage): Promise<Record<string, string>> {
  const database = await connectDatabase(stage.stack.databaseUrl);
  const { rows } = await sql<{
    version: string;
  }>`select current_setting('server_version') as version`.execute(database.read.kysely);
  await database.close();
  const temporal = await fetch(`${stage.stack.temporalUi}/api/v1/cluster-info`).then(
    (answer) => answer.json() as Promise<{ serverVersion?: string }>,
  );
  return {
    date: new Date().toISOString(),
    commit: commit(),
    processor: `${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown'}`,
    memory: `${(totalmem() / 1e9).toFixed(1)} GB`,
    kernel: release(),
    node: process.versions.node,
    azurite: dependency('azurite'),
    postgresql: rows[0]!.version,
    temporal: `server ${temporal.serverVersion ?? 'unknown'}, SDK ${dependency('@temporalio/worker')}`,
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
    const changed =
      execFileSync(
        'git',
        ['status', '--porcelain', '--', 'src', 'workflows', 'activities'],
        at,
      ).trim() === ''
        ? ''
        : ' and changes';
    return `${execFileSync('git', ['rev-parse', '--short', 'HEAD'], at).trim()}${changed}`;
  } catch {
    return 'unknown';
  }
}
