/**
 * A PostgreSQL of our own, on 127.0.0.1 and with a password, in one folder. It stops by a fast
 * shutdown, and starts again after a crash of any kind.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import { DebgeoError } from '../domain/errors.ts';
import { loadPostgres, type PostgresProgram, type Privilege } from './postgres-program.ts';
import { endProcess, identify } from './process-identity.ts';
import { spawnServer, type Server } from './server-process.ts';

export interface PostgresPlan {
  /** Holds `postgres/` (the cluster), `postgres.password` and `postgres.log`. */
  readonly folder: string;
  readonly port: number;
  /** false: three times as fast, and a power cut may lose data. For tests. */
  readonly durable: boolean;
  /** As whom it runs; unless given, as the account and the host allow. */
  readonly privilege?: Privilege;
}

const USER = 'debgeo';
const DATABASE = 'debgeo';

/** Spawns the server; `untilReady` waits for it. The URL names the database `debgeo`. */
export async function startPostgres(plan: PostgresPlan): Promise<{ server: Server; url: string }> {
  const cluster = join(plan.folder, 'postgres');
  const password = readPassword(plan.folder);
  const program = loadPostgres(plan.privilege);
  if (!existsSync(cluster)) createCluster(program, plan, cluster);
  await clearLock(cluster);

  const settings = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: '200',
    ...(plan.durable ? {} : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const { command, args } = program.command('postgres', [
    '-D',
    cluster,
    '-p',
    String(plan.port),
    ...options,
  ]);
  const server = spawnServer({
    name: 'PostgreSQL',
    run: { command },
    args,
    log: join(plan.folder, 'postgres.log'),
    ...(program.user ? { user: program.user } : {}),
    cwd: plan.folder,
    stopBy: 'SIGINT',
    probe: async () => statusLine(cluster) === 'ready',
  });
  void server.ended.then(() => program.discard());
  return { server, url: `postgres://${USER}:${password}@127.0.0.1:${plan.port}/${DATABASE}` };
}

/** Line 8 of postmaster.pid, as pg_ctl reads it (pidfile.h: LOCK_FILE_LINE_PM_STATUS). */
const statusLine = (cluster: string): string | undefined =>
  readFileSync(join(cluster, 'postmaster.pid'), 'utf8').split('\n')[7]?.trim();

function readPassword(folder: string): string {
  const file = join(folder, 'postgres.password');
  if (!existsSync(file))
    writeFileSync(file, `${randomBytes(18).toString('base64url')}\n`, { mode: 0o600 });
  return readFileSync(file, 'utf8').trim();
}

/**
 * Made under another name and renamed when it is complete, so that an initdb that was killed leaves
 * nothing that looks like a cluster.
 */
function createCluster(program: PostgresProgram, plan: PostgresPlan, cluster: string): void {
  const partial = `${cluster}.partial`;
  const password = join(plan.folder, 'postgres.password');
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { mode: 0o700 });
  program.handOver(password);
  program.handOver(partial);
  const access = ['-U', USER, '--auth=scram-sha-256', `--pwfile=${password}`];
  run(
    program,
    'initdb',
    ['-D', partial, ...access, '-E', 'UTF8', '--locale=C', ...(plan.durable ? [] : ['--no-sync'])],
    plan.folder,
  );
  run(
    program,
    'postgres',
    ['--single', '-D', partial, 'postgres'],
    plan.folder,
    `create database ${DATABASE}\n`,
  );
  renameSync(partial, cluster);
}

function run(
  program: PostgresProgram,
  name: 'initdb' | 'postgres',
  arguments_: readonly string[],
  cwd: string,
  input = '',
): void {
  const { command, args } = program.command(name, arguments_);
  const env = { PATH: process.env['PATH'], LC_ALL: 'C' };
  const result = spawnSync(command, args, { cwd, env, input, encoding: 'utf8', ...program.user });
  if (result.status === 0) return;
  const how = result.error?.message ?? `exit code ${result.status}`;
  throw new DebgeoError('STACK_FAILED', `${name} of PostgreSQL failed`, {
    expected: 'exit code 0; a folder that the account of PostgreSQL may traverse',
    found: `${how}: ${result.stderr?.trim().slice(-600) ?? ''}`,
  });
}

/**
 * Deals with postmaster.pid of a server that did not end cleanly. PostgreSQL clears the file itself
 * when no process has that pid, and refuses to start when one has. So a postmaster of this very
 * cluster (its working directory) is stopped, and for any other process the file is deleted.
 */
async function clearLock(cluster: string): Promise<void> {
  const file = join(cluster, 'postmaster.pid');
  if (!existsSync(file)) return;
  const holder = identify(Number.parseInt(readFileSync(file, 'utf8'), 10));
  if (holder === null) return;
  if (workingDirectory(holder.pid) === realpathSync(cluster))
    await endProcess(holder, 'SIGINT', 20_000);
  else rmSync(file, { force: true });
}

function workingDirectory(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return null;
  }
}
