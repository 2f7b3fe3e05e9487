/**
 * `credential: default`, from the place that gives a token (a managed identity's endpoint, played)
 * to a real Azurite that asks for one over TLS.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { inspect } from 'node:util';

import { BlobServiceClient, StorageSharedKeyCredential } from '@azure/storage-blob';

import { DebgeoError } from '../../src/domain/errors.ts';
import { parseRepoPath } from '../../src/domain/repo-path.ts';
import { createAzureSiteStore } from '../../src/site/azure-site-store.ts';
import { fingerprintOf, loadCredential } from '../../src/site/credentials.ts';
import { Identity } from '../../src/site/identity.ts';
import { freePort } from '../../src/stack/free-port.ts';
import { stopChild } from '../support/child.ts';
import { NEEDS_OPENSSL } from '../support/needs.ts';
import { refusesWith } from '../support/refuses-with.ts';
import { SOURCE } from '../support/secrets.ts';
import { contentOf } from './store-under-test.ts';

const SCOPE = 'https://storage.azure.com/.default';
const PATH = parseRepoPath('debian/dists/bookworm/InRelease');
const ACCOUNT = 'fra';
const KEY = Buffer.alloc(64, 'key').toString('base64');

/** As Microsoft Entra writes them; Azurite reads the claims and checks no signature. */
const jwt = (): string => {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    aud: 'https://storage.azure.com',
    iss: 'https://sts.windows.net/t/',
    iat: now - 60,
    nbf: now - 60,
    exp: now + 3600,
    sub: 'canary',
  };
  return [{ alg: 'RS256', typ: 'JWT' }, claims, 'signature-canary']
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
};

/**
 * The endpoint that a managed identity has in Azure; a worker finds it by IDENTITY_ENDPOINT and
 * IDENTITY_HEADER.
 */
const managedIdentity = async (t: TestContext): Promise<string> => {
  const token = jwt();
  const expiresOn = Math.floor(Date.now() / 1000) + 3600;
  const body = {
    access_token: token,
    expires_on: expiresOn,
    resource: 'https://storage.azure.com',
    token_type: 'Bearer',
  };
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const environment = {
    IDENTITY_ENDPOINT: `http://127.0.0.1:${(server.address() as AddressInfo).port}/msi/token`,
    IDENTITY_HEADER: 'header-canary',
    AZURE_TOKEN_CREDENTIALS: 'ManagedIdentityCredential',
  };
  Object.assign(process.env, environment);
  t.after(() => {
    for (const name of Object.keys(environment)) delete process.env[name];
    server.closeAllConnections();
    server.close();
  });
  return token;
};

const azuriteWithTls = async (t: TestContext): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), 'debgeo-identity-'));
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-days',
      '1',
      '-subj',
      '/CN=localhost',
      '-addext',
      'subjectAltName=DNS:localhost,IP:127.0.0.1',
      '-keyout',
      key,
      '-out',
      cert,
    ],
    { stdio: 'ignore' },
  );
  const known = tls.getCACertificates('default');
  tls.setDefaultCACertificates([...known, await readFile(cert, 'utf8')]);
  const port = await freePort(null, new Set());
  const main = createRequire(import.meta.url).resolve('azurite/dist/src/blob/main.js');
  const options = [
    '--blobHost',
    '127.0.0.1',
    '--blobPort',
    String(port),
    '--oauth',
    'basic',
    '--cert',
    cert,
    '--key',
    key,
  ];
  const child = spawn(
    process.execPath,
    [main, ...options, '--inMemoryPersistence', '--silent', '--disableTelemetry'],
    {
      cwd: folder,
      env: { ...process.env, AZURITE_ACCOUNTS: `${ACCOUNT}:${KEY}` },
      stdio: 'ignore',
    },
  );
  t.after(async () => {
    tls.setDefaultCACertificates(known);
    await stopChild(child);
    await rm(folder, { recursive: true, force: true });
  });
  const url = `https://127.0.0.1:${port}/${ACCOUNT}`;
  const owner = new BlobServiceClient(url, new StorageSharedKeyCredential(ACCOUNT, KEY), {
    retryOptions: { maxTries: 1 },
  });
  for (const deadline = Date.now() + 20_000; ; await sleep(100)) {
    const made = await owner.createContainer('apt').catch((error: unknown) => error);
    if (!(made instanceof Error)) return url;
    if (Date.now() > deadline) throw made;
  }
};

const stateless = (text: string, ...secrets: string[]): void => {
  for (const secret of secrets) assert.ok(!text.includes(secret), 'a secret shows');
};

describe('the default identity', () => {
  it(
    'writes, reads and deletes at a site that takes tokens over TLS, and shows none',
    NEEDS_OPENSSL,
    async (t) => {
      const token = await managedIdentity(t);
      const accountUrl = await azuriteWithTls(t);
      const credential = await loadCredential({ identity: 'default' }, accountUrl, SOURCE);
      const store = createAzureSiteStore(
        { name: 'fra', accountUrl, container: 'apt', prefix: '' },
        credential,
      );
      const content = contentOf(Buffer.from('InRelease'));

      const written = await store.put(PATH, content, 'nothing', AbortSignal.timeout(20_000));
      assert.ok(written !== 'conflict');
      const back = await store.checksum(PATH, AbortSignal.timeout(20_000));
      assert.ok(back !== null && back !== 'changed');
      assert.equal(back.sha256, content.sha256);
      assert.equal(await store.remove(PATH, written.etag, AbortSignal.timeout(20_000)), 'gone');
      const shown = [credential, store].map(
        (value) =>
          inspect(value, { depth: Infinity }) + JSON.stringify(value) + fingerprintOf(credential),
      );
      stateless(shown.join(), token, token.split('.')[1]!);
    },
  );

  it('goes over https only: neither loader nor SDK sends a token in the clear', async () => {
    let asked = 0;
    const server = createServer((_, response) => {
      asked += 1;
      response.writeHead(200).end();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const accountUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/fra`;
    const identity = new Identity(async () => ({
      getToken: async () => ({ token: jwt(), expiresOnTimestamp: Date.now() + 3_600_000 }),
    }));

    await assert.rejects(
      loadCredential({ identity: 'default' }, accountUrl, SOURCE),
      refusesWith('CONFIG_INVALID'),
    );
    const store = createAzureSiteStore(
      { name: 'fra', accountUrl, container: 'apt', prefix: '' },
      identity,
    );
    await assert.rejects(store.checksum(PATH, AbortSignal.timeout(20_000)));

    server.close();
    assert.equal(asked, 0);
  });

  it('that is not there is an error of its own, at once', async (t) => {
    process.env['AZURE_TOKEN_CREDENTIALS'] = 'EnvironmentCredential'; // and none of its variables
    t.after(() => delete process.env['AZURE_TOKEN_CREDENTIALS']);
    const place = {
      name: 'fra',
      accountUrl: 'https://127.0.0.1:1/fra',
      container: 'apt',
      prefix: '',
    };

    const attempt = createAzureSiteStore(place, new Identity()).checksum(
      PATH,
      AbortSignal.timeout(60_000),
    );

    await assert.rejects(attempt, refusesWith('SITE_IDENTITY_MISSING'));
  });

  it('that never answers ends in bounded time; a caller that gives up gets its error', async () => {
    const silent = new Identity(
      async () => ({ getToken: () => new Promise<never>(() => undefined) }),
      50,
    );
    const keepsAlive = setInterval(() => undefined, 1_000);
    try {
      await assert.rejects(silent.getToken(SCOPE), refusesWith('SITE_IDENTITY_MISSING'));
      await assert.rejects(silent.getToken(SCOPE, { abortSignal: AbortSignal.abort() }), {
        name: 'AbortError',
      });
    } finally {
      clearInterval(keepsAlive);
    }
  });

  it('that Microsoft Entra refuses is denied, with the number of its answer alone', async () => {
    const refusal = (statusCode: number) =>
      Object.assign(new Error('canary'), {
        name: 'AuthenticationError',
        statusCode,
        errorResponse: {
          error: 'invalid_client',
          errorDescription: 'canary',
          errorCodes: [7_000_215],
          traceId: 'canary',
        },
      });
    const failing = (error: Error) =>
      new Identity(async () => ({ getToken: () => Promise.reject(error) })).getToken(SCOPE);

    await assert.rejects(failing(refusal(401)), (error) => {
      assert.ok(error instanceof DebgeoError && error.code === 'SITE_DENIED');
      assert.equal(error.report.found, '401 invalid_client, AADSTS7000215');
      stateless(inspect(error, { depth: Infinity, showHidden: true }), 'canary');
      return true;
    });
    await assert.rejects(failing(refusal(503)), refusesWith('SITE_IDENTITY_MISSING'));
  });
});
