/**
 * Archives that answer a login with what it said, proxies that refuse a password, secrets that are
 * not fit to be sent: for tests that look for the secrets afterwards.
 */
import { randomBytes } from 'node:crypto';

import type { ErrorReport } from '../../src/domain/errors.ts';
import { startServer, type TestServer } from '../archive/test-server.ts';
import { makeAuthority } from './certificates.ts';
import { startHttpProxy } from './http-proxy.ts';
import { NEEDS_OPENSSL } from './needs.ts';
import type { Tuning } from './tuning.ts';
import type { World } from './world.ts';

type Login = NonNullable<Tuning['login']>;

const secret = (what: string): string => `${what}-${randomBytes(12).toString('hex')}`;
const DEPLOY: Login = { user: 'deploy', password: { env: 'DEBGEO_TEST_CANARY_PASSWORD' } };
const LOGINS: readonly (readonly [variable: string, login: Login])[] = [
  ['DEBGEO_TEST_CANARY_PASSWORD', DEPLOY],
  ['DEBGEO_TEST_CANARY_BEARER', { bearer: { env: 'DEBGEO_TEST_CANARY_BEARER' } }],
  [
    'DEBGEO_TEST_CANARY_HEADER',
    { headers: { 'Deploy-Token': { env: 'DEBGEO_TEST_CANARY_HEADER' } } },
  ],
];
const CERTIFICATE: Login = {
  client_certificate: { env: 'DEBGEO_TEST_CANARY_CERT' },
  key: { env: 'DEBGEO_TEST_CANARY_KEY' },
};

/** A proxy that refuses everybody, in the environment of the workers that start from now on. */
export async function withRefusingProxy(
  secrets: Map<string, string>,
): Promise<() => Promise<void>> {
  const proxy = await startHttpProxy();
  const password = secret('proxy');
  proxy.authorization = 'Basic none';
  const url = `http://debgeo:${password}@127.0.0.1:${proxy.port}`;
  Object.assign(process.env, { HTTP_PROXY: url, HTTPS_PROXY: url, NO_PROXY: '127.0.0.1' });
  secrets.set(password, 'password of a proxy');
  secrets.set(Buffer.from(`debgeo:${password}`).toString('base64'), 'what a proxy is sent');
  return async () => {
    for (const name of ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY']) delete process.env[name];
    await proxy.close();
  };
}

/** Each look fails. @returns what was recorded of them; the archive is as before */
export async function sufferLogins(
  world: World,
  secrets: Map<string, string>,
): Promise<ErrorReport[]> {
  const reports: ErrorReport[] = [];
  const look = async (tuning: Tuning): Promise<void> => {
    await world.tune(tuning);
    const { report } = await world.look();
    if (report === undefined) throw new Error(`a look went well: ${JSON.stringify(tuning)}`);
    reports.push(report);
  };
  const server = await startServer();
  for (const [variable, login] of LOGINS) {
    const value = secret(variable.toLowerCase());
    secrets.set(value, variable).set(Buffer.from(`deploy:${value}`).toString('base64'), 'Basic');
    process.env[variable] = value;
    for (const answer of saying([...secrets.keys()])) {
      server.handle = answer;
      await look({ archiveUrl: server.url, login });
    }
    process.env[variable] = `${value}\n${value}`;
    await look({ archiveUrl: server.url, login });
  }
  if (NEEDS_OPENSSL.skip === false) await sufferCertificates(secrets, look);
  for (const archiveUrl of ['http://archive.example', 'https://archive.example'])
    await look({ archiveUrl, login: null });
  await world.tune({ archiveUrl: world.archiveServer.url, login: null });
  await server.close();
  return reports;
}

/** An archive of an unknown authority, and a key of another certificate. */
async function sufferCertificates(
  secrets: Map<string, string>,
  look: (tuning: Tuning) => Promise<void>,
): Promise<void> {
  const authority = makeAuthority();
  const server = await startServer('127.0.0.1', authority.sign('localhost'));
  for (const { cert, key } of [
    authority.sign('debgeo'),
    { ...authority, key: authority.sign('other').key },
  ]) {
    secrets.set(key.split('\n')[1]!, 'key of a client').set(key, 'key of a client, whole');
    Object.assign(process.env, { DEBGEO_TEST_CANARY_CERT: cert, DEBGEO_TEST_CANARY_KEY: key });
    await look({ archiveUrl: server.url, login: CERTIFICATE });
  }
  await server.close();
}

/** Answers that say what they were asked with. */
function saying(secrets: readonly string[]): TestServer['handle'][] {
  const said = secrets.map((one) => encodeURIComponent(one)).join('&');
  return [
    ({ headers }, response) =>
      void response
        .writeHead(403, { 'www-authenticate': `Basic realm="${said}"` })
        .end(`${secrets.join('\n')}\n${JSON.stringify(headers)}`),
    (_, response) =>
      void response.writeHead(302, { location: `http://127.0.0.1:1/?${said}` }).end(),
  ];
}
