/**
 * What a log, a command, a table, a history or an error shows never holds a credential, whatever
 * goes wrong. Sites answer with what they were asked, as gateways do: the signed URL comes back in
 * bodies and in Location.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
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
import { parseRepoPath } from '../../src/domain/repo-path.ts';
import { createLog } from '../../src/log.ts';
import { createAzureSiteStore } from '../../src/site/azure-site-store.ts';
import { loadCredential, type CredentialReference } from '../../src/site/credentials.ts';
import { connectTemporal } from '../../src/temporal/connection.ts';
import type { Fault } from '../support/fault-proxy.ts';
import { servers } from '../support/servers.ts';
import { aPackage, aWorld, type Planted, type World } from '../support/world.ts';

const MAIN = join(import.meta.dirname, '../../src/main.ts');
const API_KEY = `temporal-${randomBytes(12).toString('hex')}`;
const DATABASE_PASSWORD = `database-${randomBytes(12).toString('hex')}`;
/** Nobody listens on it. */
const NOBODY = '127.0.0.1:1';

/** Secret → what it is, for the message of a failure; the message itself shows none. */
type Secrets = Map<string, string>;

test('neither a key, a SAS, a password nor an API key is in logs, outputs, tables, histories and errors', async (t) => {
  const lines: string[] = [];
  const world = await aWorld(t, { sites: ['fra', 'sin'], worker: 'none', log: logInto(lines) });
  const secrets = await withSecrets(world);
  await world.startWorker();
  await world.release([aPackage('hello', '1.0')]);
  await world.update();

  const errors: unknown[] = [];
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
    lines.length > 50 && errors.length > 15 && outputs.length === 5,
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
        `${await accountUrlOf(world, 'sin')}?${await sasOf(world)}`,
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
const withSecrets = async (world: World): Promise<Secrets> => {
  const azurites = (await servers()).blobs;
  const secrets: Secrets = new Map();
  for (const { key, account } of azurites) secrets.set(key, `key of ${account}`);
  secrets.set(new URL(world.databaseUrl).password, 'password of DATABASE_URL');
  secrets.set(DATABASE_PASSWORD, 'password of a wrong DATABASE_URL');
  secrets.set(API_KEY, 'API key of Temporal');
  await putSas(world, secrets, sasWith(azurites[1]!.account, azurites[1]!.key));
  return secrets;
};

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
const sasOf = (world: World): Promise<string> => readFile(sasFileOf(world), 'utf8');

const putSas = async (world: World, secrets: Secrets, sas: string): Promise<void> => {
  await writeFile(sasFileOf(world), sas, { mode: 0o600 });
  await sql`update replication_sites set credential = ${JSON.stringify({ file: sasFileOf(world) })}::jsonb where name = 'sin'`.execute(
    world.database.read.kysely,
  );
  secrets.set(new URLSearchParams(sas).get('sig')!, 'signature of a SAS');
};

const rotateToWrong = async (world: World, secrets: Secrets): Promise<void> => {
  const azurites = (await servers()).blobs;
  const [fraKey, sinKey] = [randomBytes(64).toString('base64'), randomBytes(64).toString('base64')];
  const { env } = (await credentialOf(world, 'fra')) as { env: string };
  process.env[env] = `AccountName=${azurites[0]!.account};AccountKey=${fraKey}`;
  secrets.set(fraKey, 'wrong key').set(sinKey, 'wrong key behind a SAS');
  await putSas(world, secrets, sasWith(azurites[1]!.account, sinKey));
};

const siteRow = async (world: World, site: string) => {
  const { rows } = await sql<{
    account_url: string;
    container: string;
    credential: CredentialReference;
  }>`
    select account_url, container, credential from replication_sites where name = ${site}`.execute(
    world.database.read.kysely,
  );
  return rows[0]!;
};
const credentialOf = async (world: World, site: string) => (await siteRow(world, site)).credential;
const accountUrlOf = async (world: World, site: string) => (await siteRow(world, site)).account_url;

/** Answers that say the secrets again, and no answers. */
const faultsThatSay = (secrets: Secrets): Fault[] => {
  const said = [...secrets.keys()].join(' ');
  const body = `<?xml version="1.0"?><Error><Code>AuthenticationFailed</Code><Message>not ${said}</Message></Error>`;
  const location = `http://127.0.0.1:1/elsewhere?sig=${[...secrets.keys()].map(encodeURIComponent).join('&sig=')}`;
  return [
    { kind: 'answer', status: 403, headers: { 'content-type': 'application/xml' }, body },
    { kind: 'answer', status: 503, headers: { 'retry-after': '1' }, body },
    { kind: 'answer', status: 302, headers: { location }, body },
    { kind: 'cut' },
  ];
};

let version = 1;
/** Both sites fail, are seen failing, and come back. */
const suffer = async (world: World, fault: Fault): Promise<unknown[]> => {
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
};

/** Hanging requests are aborted by an order. */
const sufferCancel = async (world: World): Promise<void> => {
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
};

/** The errors of every kind of request, as they leave the store. */
const askSites = async (world: World): Promise<unknown[]> => {
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
  for (const name of world.sites.keys()) {
    const { account_url: accountUrl, container, credential } = await siteRow(world, name);
    const store = createAzureSiteStore(
      { name, accountUrl, container, prefix: '' },
      await loadCredential(credential, accountUrl),
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
};

const connectBadly = async (): Promise<unknown[]> => {
  const password = DATABASE_PASSWORD;
  const server = new URL((await servers()).databaseUrl);
  server.password = password;
  server.username = 'nobody';
  const urls = [
    server.href,
    `postgres://debgeo:${password}@${NOBODY}/debgeo`,
    `postgres:${password}@${NOBODY}/debgeo`,
    `postgres:/${password}@${NOBODY}/debgeo`,
    `postgres://debgeo:1/${password}@${NOBODY}/debgeo`,
    `x ${password}@`,
  ];
  const attempts = [
    ...urls.map((url) => connectDatabase(url)),
    connectTemporal({ address: NOBODY, namespace: 'default', apiKey: API_KEY, tls: true }, 500),
  ];
  const outcomes = await Promise.allSettled(attempts);
  return outcomes.flatMap((outcome) =>
    outcome.status === 'rejected' ? [outcome.reason as unknown] : [],
  );
};

/**
 * Standard output and error of commands that go well and of commands that fail, as processes of
 * their own.
 */
const runCommands = async (world: World): Promise<string[]> => {
  const good = {
    DATABASE_URL: world.databaseUrl,
    TEMPORAL_ADDRESS: world.temporalAddress,
    TEMPORAL_NAMESPACE: world.namespace,
  };
  const wrongPassword = new URL(world.databaseUrl);
  wrongPassword.username = 'nobody';
  wrongPassword.password = DATABASE_PASSWORD;
  const commands = [
    ['status --json', {}],
    ['doctor', {}],
    ['status', { DATABASE_URL: wrongPassword.href }],
    ['status', { DATABASE_URL: `postgres:${DATABASE_PASSWORD}@${NOBODY}/debgeo` }],
    [`update ${world.suite}`, { TEMPORAL_API_KEY: API_KEY }],
  ] as const;
  return Promise.all(
    commands.map(([command, environment]) =>
      outputOf(command, { ...good, DEBGEO_LOG_LEVEL: 'trace', ...environment }),
    ),
  );
};

const outputOf = async (command: string, environment: NodeJS.ProcessEnv): Promise<string> => {
  const child = spawn(process.execPath, [MAIN, ...command.split(' ')], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const killed = setTimeout(() => child.kill('SIGKILL'), 60_000);
  const [stdout, stderr] = await Promise.all([
    child.stdout.toArray(),
    child.stderr.toArray(),
    once(child, 'close'),
  ]);
  clearTimeout(killed);
  return `${stdout.join('')}${stderr.join('')}`;
};

const dumpTables = async (world: World): Promise<string[]> => {
  const { kysely } = world.database.read;
  const tables = await sql<{
    name: string;
  }>`select tablename as name from pg_tables where schemaname = 'public'`.execute(kysely);
  const found: string[] = [];
  for (const { name } of tables.rows) {
    const rows = await sql<{
      row: string;
    }>`select to_jsonb(t)::text as row from ${sql.table(name)} t`.execute(kysely);
    found.push(...rows.rows.map(({ row }) => row));
  }
  assert.ok(found.length > 20, 'the tables hold rows');
  return found;
};

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
const textOf = (value: unknown): string => {
  if (typeof value === 'string') return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8');
  if (typeof value !== 'object' || value === null) return '';
  return Object.values(value).map(textOf).join('\n');
};

/** How a secret may be written: as it is, in a URL, as the bytes of a key or of text. */
const formsOf = (secret: string): string[] => {
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
};

const assertNone = (secrets: Secrets, where: string, texts: readonly string[]): void => {
  for (const [secret, what] of secrets) {
    assert.ok(secret.length >= 8, `${what} is long enough to be looked for`);
    for (const form of formsOf(secret))
      for (const text of texts) {
        const at = text.indexOf(form);
        if (at >= 0)
          assert.fail(`${where} shows the ${what}: ${text.slice(Math.max(0, at - 200), at)}…`);
      }
  }
};
