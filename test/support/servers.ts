/**
 * Real servers for test files. Under `npm test` all files share one stack that the global setup
 * started; a file that is run by hand (`node --test test/site/x.test.ts`) starts one of its own
 * with the first call, and stops it when it ends.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';

import { Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { sql } from 'kysely';

import { connectDatabase, type Database } from '../../src/database/orm.ts';
import { migrate } from '../../src/database/server/migrate.ts';
import { run } from '../../src/database/sql.ts';
import { readStackFile, type StackUrls } from '../../src/settings/stack-file.ts';
import { FAST_INTERVALS, startStack, type Stack } from '../../src/stack/stack.ts';
import { writeWorkflowBundle } from '../../src/worker/workflow-bundle.ts';

/**
 * Names the folder of the shared stack; set by the global setup, inherited by every test process.
 */
export const SHARED_STACK = 'DEBGEO_TEST_STACK';

/**
 * PostgreSQL, Temporal and the Azurites `fra` and `sin`, empty, in a temporary folder that `stop`
 * removes.
 */
export async function startTestStack(): Promise<{
  folder: string;
  stack: Stack;
  stop: () => Promise<void>;
}> {
  const folder = mkdtempSync(join(tmpdir(), 'debgeo-test-'));
  const say = (line: string) => process.stderr.write(`${line}\n`);
  const [stack] = await Promise.all([
    startStack({ folder, blobs: ['fra', 'sin'], say, temporal: FAST_INTERVALS, durable: false }),
    writeWorkflowBundle(bundleIn(folder)),
  ]);
  const stop = async () => {
    await stack.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  return { folder, stack, stop };
}

let own: ReturnType<typeof startTestStack> | null = null;
const shared = process.env[SHARED_STACK];
if (!shared) after(async () => own?.then(({ stop }) => stop()));

/** `blobs` holds `fra` and `sin`, in this order. */
export async function servers(): Promise<StackUrls> {
  if (shared) return readStackFile(shared);
  own ??= startTestStack();
  return (await own).stack;
}

const bundleIn = (folder: string): string => join(folder, 'workflows.js');

/** The workflows as a worker takes them, bundled once for all. */
export async function workflowBundle(): Promise<string> {
  if (shared) return bundleIn(shared);
  own ??= startTestStack();
  return bundleIn((await own).folder);
}

/** The URL of a new database without tables. */
export async function freshDatabase(): Promise<string> {
  return onServer((server) => createDatabase(server));
}

/**
 * The URL of a new database with all tables: a clone of a template that the first caller of a run
 * migrates.
 */
export async function migratedDatabase(): Promise<string> {
  return onServer(async (server) => {
    // A connection and not `server.transaction`: MikroORM finds its transaction through the async
    // context, and migrate() would join this one.
    await server.read.kysely.connection().execute(async (session) => {
      await sql`select pg_advisory_lock(1)`.execute(session);
      const found = await sql`select 1 from pg_database where datname = ${TEMPLATE}`.execute(
        session,
      );
      if (found.rows.length === 0) await createTemplate(server);
      await sql`select pg_advisory_unlock(1)`.execute(session);
    });
    return createDatabase(server, TEMPLATE);
  });
}

/**
 * A backup: the URL of a new database with all that the one at `url` holds. Ends the connections to
 * it, which pools open anew.
 */
export async function copyOfDatabase(url: string): Promise<string> {
  const name = new URL(url).pathname.slice(1);
  return onServer(async (server) => {
    await run(
      server.read,
      sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = ${name}`,
    );
    return createDatabase(server, name);
  });
}

/**
 * A restore: the database at `url` is as its backup is. Ends the connections to both, which pools
 * open anew.
 */
export async function restoreDatabase(url: string, backup: string): Promise<void> {
  const [name, from] = [url, backup].map((one) => new URL(one).pathname.slice(1));
  await onServer(async (server) => {
    const end = sql`
      select pg_terminate_backend(pid)
      from pg_stat_activity
      where datname in (${name}, ${from})`;
    await run(server.read, end);
    await run(server.read, sql`drop database ${sql.id(name!)} with (force)`);
    await run(server.read, sql`create database ${sql.id(name!)} template ${sql.id(from!)}`);
  });
}

const TEMPLATE = 'migrated';

async function createTemplate(server: Database): Promise<void> {
  const url = await createDatabase(server);
  const database = await connectDatabase(url);
  try {
    await migrate(database);
  } finally {
    await database.close();
  }
  const name = new URL(url).pathname.slice(1);
  await run(server.read, sql`alter database ${sql.id(name)} rename to ${sql.id(TEMPLATE)}`);
}

async function createDatabase(server: Database, template = 'template0'): Promise<string> {
  const name = `test_${randomBytes(6).toString('hex')}`;
  await run(server.read, sql`create database ${sql.id(name)} template ${sql.id(template)}`);
  return urlOf(name);
}

async function urlOf(database: string): Promise<string> {
  const url = new URL((await servers()).databaseUrl);
  url.pathname = `/${database}`;
  return url.href;
}

async function onServer<T>(work: (server: Database) => Promise<T>): Promise<T> {
  const server = await connectDatabase(await urlOf('postgres'));
  try {
    return await work(server);
  } finally {
    await server.close();
  }
}

/**
 * The name of a new Temporal namespace that can be used at once; the dev server needs about 10 ms
 * for it.
 */
export async function freshNamespace(): Promise<string> {
  const namespace = `test-${randomBytes(6).toString('hex')}`;
  const connection = await Connection.connect({ address: (await servers()).temporalAddress });
  try {
    await connection.workflowService.registerNamespace({
      namespace,
      workflowExecutionRetentionPeriod: msToTs('1 day'),
    });
    await untilKnown(connection, namespace);
    return namespace;
  } finally {
    await connection.close();
  }
}

/**
 * The frontend keeps namespaces in a cache: known means that a call within the namespace is
 * answered.
 */
async function untilKnown(connection: Connection, namespace: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    try {
      await connection.workflowService.listOpenWorkflowExecutions({
        namespace,
        maximumPageSize: 1,
      });
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await wait(20);
    }
  }
}
