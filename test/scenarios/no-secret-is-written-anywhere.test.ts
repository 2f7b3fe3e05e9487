/**
 * What a log, a command, a table, a history or an error shows never holds a credential or a login,
 * whatever goes wrong. Sites and archives answer with what they were asked, as gateways do: the
 * signed URL comes back in bodies and in Location.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';

import {
  AccountSASPermissions,
  AccountSASResourceTypes,
  AccountSASServices,
  BlobServiceClient,
  generateAccountSASQueryParameters,
  StorageSharedKeyCredential,
} from '@azure/storage-blob';
import { sql } from 'kysely';

import { connectDatabase } from '../../src/database/orm.ts';
import { all } from '../../src/database/sql.ts';
import { parseRepoPath } from '../../src/domain/repo-path.ts';
import { createLog } from '../../src/log.ts';
import { createAzureSiteStore } from '../../src/site/azure-site-store.ts';
import { loadCredential } from '../../src/site/credentials.ts';
import { connectTemporal } from '../../src/temporal/connection.ts';
import { sufferLogins, withRefusingProxy } from '../support/canary-logins.ts';
import { environmentOf, runDebgeo } from '../support/debgeo.ts';
import type { Fault } from '../support/fault-proxy.ts';
import { SOURCE } from '../support/secrets.ts';
import { servers } from '../support/servers.ts';
import { aPackage, aWorld, type Planted, type World } from '../support/world.ts';

const API_KEY = `temporal-${randomBytes(12).toString('hex')}`;
const DATABASE_PASSWORD = `database-${randomBytes(12).toString('hex')}`;
/** No server listens there. */
const NOWHERE = '127.0.0.1:1';

/** Secret → what it is, for the message of a failure; the message itself shows none. */
type Secrets = Map<string, string>;

test('no key, SAS or password is in logs, outputs, tables, histories and errors', async (t) => {
  const lines: string[] = [];
  const world = await aWorld(t, { sites: ['fra', 'sin'], worker: 'none', log: logInto(lines) });
  const secrets = await withSecrets(world);
  t.after(await withRefusingProxy(secrets));
  await world.startWorker();
  await world.release([aPackage('hello', '1.0')]);
  await world.update();

  const errors: unknown[] = await sufferLogins(world, secrets);
  for (const fault of faultsThatSay(secrets)) errors.push(...(await suffer(world, fault)));
  await sufferCancel(world);
  await world.stopWorker();
  await rotateToWrong(world, secrets);
  await world.startWorker();
  await world.release([aPackage('hello', '9.0')]);
  await world.look();
  const denied = await world.until(
    ({ sites }) => sites.every((site) => site.failure?.code === 'SITE_DENIED'),
    'both sites refuse',
  );
  const outputs = await runCommands(world);
  errors.push(...(await askSites(world)), ...(await connectBadly()));
  await world.stopWorker();

  assert.equal(denied.sites.length, 2);
  assert.ok(
    lines.length > 50 && errors.length > 25 && outputs.length === 6,
    `${lines.length} ${errors.length} ${outputs.length}`,
  );
  assertNone(secrets, 'log of the worker', lines);
  assertNone(secrets, 'output of a command', outputs);
  assertNone(secrets, 'table', await dumpTables(world));
  assertNone(secrets, 'history', await dumpHistories(world));
  assertNone(
    secrets,
    'error',
    errors.map(
      (error) => inspect(error, { depth: Infinity, showHidden: true }) + JSON.stringify(error),
    ),
  );
});

test('an activity that logs the request of an error is found', async (t) => {
  const lines: string[] = [];
  const log = logInto(lines);
  const loggingRequests: Planted = (real, world) => ({
    ...real,
    async syncBlobs(input) {
      const signed = new BlobServiceClient(
        `${world.site('sin').accountUrl}?${await readFile(sasFileOf(world), 'utf8')}`,
      );
      await signed
        .getContainerClient('no-such-container')
        .getProperties()
        .catch((error: { request?: unknown }) =>
          log.warn({ request: error.request }, 'a request failed'),
        );
      return real.syncBlobs(input);
    },
  });
  const world = await aWorld(t, {
    sites: ['fra', 'sin'],
    worker: 'none',
    log,
    activities: loggingRequests,
  });
  const secrets = await withSecrets(world);
  await world.startWorker();
  await world.release([aPackage('hello', '1.0')]);

  await world.update();

  assert.throws(() => assertNone(secrets, 'log of the worker', lines), assert.AssertionError);
});

const logInto = (lines: string[]) =>
  createLog({ level: 'trace', into: { write: (line) => void lines.push(line) } });

/** fra keeps its account key in a variable; sin gets a SAS in a file. */
async function withSecrets(world: World): Promise<Secrets> {
  const azurites = (await servers()).blobs;
  const secrets: Secrets = new Map();
  for (const { key, account } of azurites) secrets.set(key, `key of ${account}`);
  secrets.set(new URL(world.databaseUrl).password, 'password of DATABASE_URL');
  secrets.set(DATABASE_PASSWORD, 'password of a wrong DATABASE_URL');
  secrets.set(API_KEY, 'API key of Temporal');
  await putSas(world, secrets, sasWith(azurites[1]!.account, azurites[1]!.key));
  return secrets;
}

const sasWith = (account: string, key: string): string =>
  generateAccountSASQueryParameters(
    {
      expiresOn: new Date(Date.now() + 3_600_000),
      permissions: AccountSASPermissions.parse('rwdlac'),
      services: AccountSASServices.parse('b').toString(),
      resourceTypes: AccountSASResourceTypes.parse('sco').toString(),
    },
    new StorageSharedKeyCredential(account, key),
  ).toString();

const sasFileOf = (world: World): string => join(world.folder, 'sas');

async function putSas(world: World, secrets: Secrets, sas: string): Promise<void> {
  await writeFile(sasFileOf(world), sas, { mode: 0o600 });
  await world.tune({ credential: { file: sasFileOf(world) } }, 'sin');
  secrets.set(new URLSearchParams(sas).get('sig')!, 'signature of a SAS');
}

async function rotateToWrong(world: World, secrets: Secrets): Promise<void> {
  const azurites = (await servers()).blobs;
  const [fraKey, sinKey] = [randomBytes(64).toString('base64'), randomBytes(64).toString('base64')];
  process.env[world.site('fra').variable] =
    `AccountName=${azurites[0]!.account};AccountKey=${fraKey}`;
  secrets.set(fraKey, 'wrong key').set(sinKey, 'wrong key behind a SAS');
  await putSas(world, secrets, sasWith(azurites[1]!.account, sinKey));
}

/** Answers that say the secrets again, and no answers. */
function faultsThatSay(secrets: Secrets): Fault[] {
  const said = [...secrets.keys()].join(' ');
  const error = `<Code>AuthenticationFailed</Code><Message>not ${said}</Message>`;
  const body = `<?xml version="1.0"?><Error>${error}</Error>`;
  const query = [...secrets.keys()].map((secret) => `sig=${encodeURIComponent(secret)}`).join('&');
  const location = `http://${NOWHERE}/elsewhere?${query}`;
  return [
    { kind: 'answer', status: 403, headers: { 'content-type': 'application/xml' }, body },
    { kind: 'answer', status: 503, headers: { 'retry-after': '1' }, body },
    { kind: 'answer', status: 302, headers: { location }, body },
    { kind: 'cut' },
  ];
}

let version = 1;
/** Both sites fail, are seen failing, and come back. */
async function suffer(world: World, fault: Fault): Promise<unknown[]> {
  for (const { proxy } of world.sites.values()) await proxy.setRules([{ fault }]);
  await world.release([aPackage('hello', `1.${++version}`)]);
  await world.look();
  await world.until(
    ({ sites }) => sites.every((site) => site.failure !== null),
    `failures: ${JSON.stringify(fault.kind)}`,
  );
  const errors = await askSites(world);
  for (const { proxy } of world.sites.values()) await proxy.setRules([]);
  await world.command('retry');
  await world.until(
    ({ sites, generation }) =>
      sites.every((site) => site.state === 'synced' && site.served === generation),
    'back',
  );
  return errors;
}

/** A command aborts requests that hang. */
async function sufferCancel(world: World): Promise<void> {
  for (const { proxy } of world.sites.values()) {
    await proxy.clear();
    await proxy.setRules([{ method: 'PUT', fault: { kind: 'hang' } }]);
  }
  await world.release([aPackage('hello', `1.${++version}`)]);
  await world.look();
  for (const { proxy } of world.sites.values())
    while (!(await proxy.requests()).some((request) => request.fault === 'hang')) await sleep(20);
  await world.command('cancel');
  await world.until(({ sites }) => sites.every((site) => site.state === 'cancelled'), 'cancelled');
  for (const { proxy } of world.sites.values()) await proxy.setRules([]);
  await world.command('retry');
  await world.until(
    ({ sites, generation }) =>
      sites.every((site) => site.state === 'synced' && site.served === generation),
    'back',
  );
}

/** The errors of every kind of request, as they leave the store. */
async function askSites(world: World): Promise<unknown[]> {
  const errors: unknown[] = [];
  const path = parseRepoPath('debian/dists/bookworm/InRelease');
  const content = {
    size: 1,
    sha256: '0'.repeat(64) as never,
    bytes: (async function* () {
      yield Buffer.from('x');
    })(),
    contentType: 'text/plain',
    cacheControl: 'no-store',
  };
  for (const { name, accountUrl, container, variable } of world.sites.values()) {
    const store = createAzureSiteStore(
      { name, accountUrl, container: container.containerName, prefix: '' },
      await loadCredential(
        name === 'sin' ? { file: sasFileOf(world) } : { env: variable },
        accountUrl,
        SOURCE,
      ),
    );
    for (const ask of [
      () => store.remove(path, '"0x1"', AbortSignal.timeout(10_000)),
      () => store.checksum(path, AbortSignal.timeout(10_000)),
      () => store.put(path, content, 'nothing', AbortSignal.timeout(10_000)),
      () => store.open(path, AbortSignal.abort()),
    ])
      await ask().then(undefined, (error: unknown) => errors.push(error));
  }
  return errors;
}

async function connectBadly(): Promise<unknown[]> {
  const password = DATABASE_PASSWORD;
  const server = new URL((await servers()).databaseUrl);
  server.password = password;
  server.username = 'unknown';
  const urls = [
    server.href,
    `postgres://debgeo:${password}@${NOWHERE}/debgeo`,
    `postgres:${password}@${NOWHERE}/debgeo`,
    `postgres:/${password}@${NOWHERE}/debgeo`,
    `postgres://debgeo:1/${password}@${NOWHERE}/debgeo`,
    `x ${password}@`,
  ];
  const attempts = [
    ...urls.map((url) => connectDatabase(url)),
    connectTemporal({ address: NOWHERE, namespace: 'default', apiKey: API_KEY, tls: true }, 500),
  ];
  const outcomes = await Promise.allSettled(attempts);
  return outcomes.flatMap((outcome) =>
    outcome.status === 'rejected' ? [outcome.reason as unknown] : [],
  );
}

/**
 * Standard output and error of commands that go well and of commands that fail, as processes of
 * their own.
 */
async function runCommands(world: World): Promise<string[]> {
  const wrongPassword = new URL(world.databaseUrl);
  wrongPassword.username = 'unknown';
  wrongPassword.password = DATABASE_PASSWORD;
  const commands = [
    ['status --json', {}],
    ['doctor', {}],
    ['status', { DATABASE_URL: wrongPassword.href }],
    ['status', { DATABASE_URL: `postgres:${DATABASE_PASSWORD}@${NOWHERE}/debgeo` }],
    ['status', { HTTP_PROXY: `socks5://debgeo:${DATABASE_PASSWORD}@${NOWHERE}` }],
    [`update ${world.suite}`, { TEMPORAL_API_KEY: API_KEY }],
  ] as const;
  return Promise.all(
    commands.map(([command, environment]) =>
      outputOf(command, {
        ...environmentOf(world),
        DEBGEO_LOG_LEVEL: 'trace',
        ...environment,
      }),
    ),
  );
}

async function outputOf(command: string, environment: NodeJS.ProcessEnv): Promise<string> {
  const { stdout, stderr } = await runDebgeo(command, environment);
  return stdout + stderr;
}

async function dumpTables(world: World): Promise<string[]> {
  const { read } = world.database;
  const tables = await all(
    read,
    sql<{ name: string }>`
      select tablename as name
      from pg_tables
      where schemaname = 'public'`,
  );
  const found: string[] = [];
  for (const { name } of tables) {
    const rows = await all(
      read,
      sql<{ row: string }>`
        select to_jsonb(t)::text as row
        from ${sql.table(name)} t`,
    );
    found.push(...rows.map(({ row }) => row));
  }
  assert.ok(found.length > 20, 'the tables hold rows');
  return found;
}

const dumpHistories = async (world: World): Promise<string[]> =>
  world.withTemporal(async (client) => {
    const found: string[] = [];
    for await (const { workflowId, runId } of client.workflow.list()) {
      const history = await client.workflow.getHandle(workflowId, runId).fetchHistory();
      found.push(textOf(history));
    }
    assert.ok(
      found.some((text) => text.includes('SITE_DENIED')),
      'the histories hold failures',
    );
    return found;
  });

/** Every string, and every payload as text. */
function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8');
  if (typeof value !== 'object' || value === null) return '';
  return Object.values(value).map(textOf).join('\n');
}

/** How a secret may be written: as it is, in a URL, as the bytes of a key or of text. */
function formsOf(secret: string): string[] {
  const bytes = [Buffer.from(secret, 'base64'), Buffer.from(secret)].map((buffer) =>
    buffer.subarray(0, 16),
  );
  return [
    secret,
    encodeURIComponent(secret),
    Buffer.from(secret).toString('base64'),
    ...bytes.flatMap((one) => [
      one.toString('hex'),
      one.toString('hex').match(/../g)!.join(' '),
      [...one].join(','),
    ]),
  ];
}

function assertNone(secrets: Secrets, where: string, texts: readonly string[]): void {
  for (const [secret, what] of secrets) {
    assert.ok(secret.length >= 8, `${what} is long enough to be looked for`);
    for (const form of formsOf(secret))
      for (const text of texts) {
        const at = text.indexOf(form);
        if (at >= 0)
          assert.fail(`${where} shows the ${what}: ${text.slice(Math.max(0, at - 200), at)}…`);
      }
  }
}
