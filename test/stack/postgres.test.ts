import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

import { sql } from 'kysely';

import { connectDatabase } from '../../src/database/orm.ts';
import { one } from '../../src/database/sql.ts';
import { freePort } from '../../src/stack/free-port.ts';
import type { Privilege } from '../../src/stack/postgres-program.ts';
import { startPostgres } from '../../src/stack/postgres.ts';
import { identify, isAlive } from '../../src/stack/process-identity.ts';
import { untilReady, type Server } from '../../src/stack/server-process.ts';
import { stopChild } from '../support/child.ts';

const PATIENT = new AbortController().signal;

test('a stranger with the pid of postmaster.pid stops no start and lives on', async (context) => {
  const folder = temporaryFolder(context);
  const first = await start(folder);
  await first.server.stop();
  const stranger = spawn('sleep', ['60']);
  context.after(() => stopChild(stranger));
  writeFileSync(
    join(folder, 'postgres', 'postmaster.pid'),
    `${stranger.pid}\n${join(folder, 'postgres')}\n1\n1\n\n127.0.0.1\n\nready\n`,
  );

  const second = await start(folder);

  assert.equal(await oneFrom(second.url), 1);
  assert.equal(stranger.exitCode, null);
  await second.server.stop();
});

test('an unrecorded postmaster of the folder is stopped before the next start', async (context) => {
  const folder = temporaryFolder(context);
  const left = await start(folder);

  const next = await start(folder);

  assert.equal(isAlive(left.server.identity), false);
  assert.equal(await oneFrom(next.url), 1);
  await next.server.stop();
});

test('the password is required, and only its owner can read it', async (context) => {
  const folder = temporaryFolder(context);
  const { server, url } = await start(folder);
  const wrong = new URL(url);
  wrong.password = 'wrong';

  await assert.rejects(oneFrom(wrong.href));

  assert.equal(statSync(join(folder, 'postgres.password')).mode & 0o777, 0o600);
  assert.equal(await oneFrom(url), 1);
  await server.stop();
});

if (process.getuid?.() === 0) {
  test('root without user namespaces runs PostgreSQL as nobody, from a copy', async (context) => {
    const folder = temporaryFolder(context);
    chmodSync(folder, 0o700);

    const { server, url } = await start(folder, 'nobody');

    assert.equal(statSync(`/proc/${server.identity.pid}`).uid, 65_534);
    assert.equal(await oneFrom(url), 1);
    await server.stop();
    assert.equal(identify(server.identity.pid), null);
  });
}

function temporaryFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'debgeo-postgres-test-'));
  context.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

async function start(
  folder: string,
  privilege?: Privilege,
): Promise<{ server: Server; url: string }> {
  const port = await freePort(null, new Set());
  const started = await startPostgres({
    folder,
    port,
    durable: false,
    ...(privilege ? { privilege } : {}),
  });
  await untilReady(started.server, PATIENT);
  return started;
}

async function oneFrom(url: string): Promise<number | undefined> {
  const database = await connectDatabase(url);
  const found = await one(database.read, sql<{ one: number }>`select 1 as one`);
  await database.close();
  return found?.one;
}
