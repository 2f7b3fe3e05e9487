/** Each test starts and stops real servers in one folder, with the data of the test before. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import {
  BlobServiceClient,
  StorageSharedKeyCredential,
  type ContainerClient,
} from '@azure/storage-blob';
import { sql } from 'kysely';

import { connectDatabase } from '../../src/database/orm.ts';
import { all, run } from '../../src/database/sql.ts';
import { readStackFile, type StackUrls } from '../../src/settings/stack-file.ts';
import { readRecord } from '../../src/stack/keeper-lock.ts';
import { isAlive } from '../../src/stack/process-identity.ts';
import { startStack, type Stack } from '../../src/stack/stack.ts';
import { exitOf } from '../support/child.ts';
import { refusesWith } from '../support/refuses-with.ts';

const folder = mkdtempSync(join(tmpdir(), 'debgeo-stack-'));
const start = (): Promise<Stack> =>
  startStack({ folder, blobs: ['fra'], say: () => undefined, durable: false });
after(() => rmSync(folder, { recursive: true }));

test('stop leaves no process; the next start has the same data and URLs', async () => {
  const first = await start();
  await write(first, 'first');
  await first.stop();

  assert.deepEqual(processesIn(folder), []);
  assert.equal(statSync(join(folder, 'stack.json')).mode & 0o777, 0o600);
  const second = await start();

  assert.deepEqual(readStackFile(folder), urlsOf(first));
  assert.deepEqual(urlsOf(second), urlsOf(first));
  await assertKept(second, 'first');
  await second.stop();
  assert.equal(await second.ended, null);
});

test('a second start in the folder of a running stack is refused', async () => {
  const stack = await start();

  await assert.rejects(start(), refusesWith('STACK_BUSY'));

  await assertKept(stack, 'first');
  await stack.stop();
});

test('a start that is aborted leaves no process', async () => {
  const giveUp = new AbortController();

  const starting = startStack({
    folder,
    blobs: ['fra'],
    say: () => undefined,
    durable: false,
    signal: giveUp.signal,
  });
  const rejected = assert.rejects(starting);
  await until(
    () => readRecord(folder)?.servers.some(({ name }) => name === 'Azurite fra') ?? false,
  );
  giveUp.abort();
  await rejected;

  assert.deepEqual(processesIn(folder), []);
  assert.ok(!readFileSync(join(folder, 'keeper.log'), 'utf8').includes('killed'));
});

test('when the parent is killed, all servers close and keep their data', async () => {
  const parent = await startParent();
  await write(readStackFile(folder), 'before the parent was killed');

  parent.kill('SIGKILL');
  await until(() => processesIn(folder).length === 0);

  const next = await start();
  await assertKept(next, 'before the parent was killed');
  await next.stop();
});

test('when the keeper is killed, the parent learns it; the next start stops the rest', async () => {
  const stack = await start();
  await write(stack, 'before the keeper was killed');
  const record = readRecord(folder);
  assert.ok(record?.keeper);

  process.kill(record.keeper.pid, 'SIGKILL');
  const end = await stack.ended;
  const leftovers = record.servers.filter(({ identity }) => isAlive(identity));
  const next = await start();

  assert.equal(end?.code, 'STACK_FAILED');
  assert.ok(leftovers.length >= 2);
  assert.ok(leftovers.every(({ identity }) => !isAlive(identity)));
  await assertKept(next, 'before the keeper was killed');
  await next.stop();
  assert.deepEqual(processesIn(folder), []);
});

test('a server that ends by itself ends the stack with the reason', async () => {
  const stack = await start();
  const temporal = readRecord(folder)?.servers.find(({ name }) => name === 'Temporal');
  assert.ok(temporal);

  process.kill(temporal.identity.pid, 'SIGKILL');
  const end = await stack.ended;

  assert.equal(end?.code, 'STACK_FAILED');
  assert.deepEqual(processesIn(folder), []);
});

test('Ctrl-C reaches the parent and not the servers that its drain needs', async () => {
  const parent = await startParent();

  process.kill(-parent.pid!, 'SIGINT');

  assert.equal(await exitOf(parent), 0);
  assert.deepEqual(processesIn(folder), []);
  const next = await start();
  assert.ok((await rowsOf(next)).includes('drained'));
  await next.stop();
});

const PARENT = fileURLToPath(new URL('parent.ts', import.meta.url));

/** In a process group of its own, as a shell starts what runs in the foreground. */
async function startParent(): Promise<ChildProcess> {
  const parent = spawn(process.execPath, [PARENT, folder], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(parent.stdout, 'data');
  return parent;
}

async function write(urls: StackUrls, name: string): Promise<void> {
  const database = await connectDatabase(urls.databaseUrl);
  await run(database.read, sql`create table if not exists kept (name text)`);
  await run(database.read, sql`insert into kept values (${name})`);
  await database.close();
  const container = containerOf(urls);
  await container.createIfNotExists();
  await container.getBlockBlobClient(name).upload(name, name.length);
}

async function assertKept(urls: StackUrls, name: string): Promise<void> {
  assert.ok((await rowsOf(urls)).includes(name));
  assert.equal((await containerOf(urls).getBlobClient(name).downloadToBuffer()).toString(), name);
}

async function rowsOf(urls: StackUrls): Promise<string[]> {
  const database = await connectDatabase(urls.databaseUrl);
  const rows = await all(database.read, sql<{ name: string }>`select name from kept`);
  await database.close();
  return rows.map(({ name }) => name);
}

function containerOf(urls: StackUrls): ContainerClient {
  const { url, account, key } = urls.blobs[0]!;
  return new BlobServiceClient(
    url,
    new StorageSharedKeyCredential(account, key),
  ).getContainerClient('kept');
}

const urlsOf = ({ databaseUrl, temporalAddress, temporalUi, blobs }: StackUrls): StackUrls => ({
  databaseUrl,
  temporalAddress,
  temporalUi,
  blobs,
});

/** Processes whose working directory or command line names the folder, whatever is recorded. */
function processesIn(place: string): string[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
    .map((pid) => describe(pid))
    .filter((line) => line.includes(place));
}

function describe(pid: string): string {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
    return `${pid} ${readlinkSync(`/proc/${pid}/cwd`)} ${command}`;
  } catch {
    return '';
  }
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, 'not within 30 s');
    await wait(50);
  }
}
