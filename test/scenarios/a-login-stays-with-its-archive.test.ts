/**
 * An archive behind a login (a registry) whose pool lies in object storage, at another origin: both
 * sites are whole, apt installs from them, and the storage never sees the login. A secret that is
 * rotated is used without a restart.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type http from 'node:http';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';

import type { Deps } from '../../activities/deps.ts';
import { createHttpArchive } from '../../src/archive/http-archive.ts';
import { Login } from '../../src/archive/login.ts';
import { startServer, type TestServer } from '../archive/test-server.ts';
import { debgeo } from '../support/debgeo.ts';
import { NEEDS_APT } from '../support/needs.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld, type World } from '../support/world.ts';

const VARIABLE = 'DEBGEO_TEST_REGISTRY_TOKEN';
const basic = (password: string): string =>
  `Basic ${Buffer.from(`deploy:${password}`).toString('base64')}`;

interface Registry {
  readonly front: TestServer;
  readonly storage: TestServer;
  password: string;
}

/** The front asks for a login, and signs the URLs of a storage that asks for none. */
async function startRegistry(t: TestContext, folder: () => string): Promise<Registry> {
  const [front, storage] = [await startServer(), await startServer()];
  t.after(() => Promise.all([front.close(), storage.close()]));
  const registry: Registry = { front, storage, password: '' };
  const serve = (request: http.IncomingMessage, response: http.ServerResponse): void => {
    const path = decodeURIComponent(request.url!.replace(/\?.*$/, ''));
    readFile(join(folder(), path)).then(
      (bytes) => response.end(bytes),
      () => response.writeHead(404).end(),
    );
  };
  storage.handle = serve;
  front.handle = (request, response) => {
    if (request.headers.authorization !== basic(registry.password))
      response.writeHead(401, { 'www-authenticate': 'Basic realm="registry"' }).end();
    else if (request.url!.startsWith('/pool/'))
      response.writeHead(302, { location: `${storage.url}${request.url}?sig=signed` }).end();
    else serve(request, response);
  };
  return registry;
}

async function aWorldBehindALogin(
  t: TestContext,
  deps?: (registry: Registry) => (real: Deps) => Deps,
): Promise<{ world: World; registry: Registry; rotate: (value: string) => void }> {
  let folder = '';
  const registry = await startRegistry(t, () => folder);
  const wrong = deps?.(registry);
  const world = await aWorld(t, { worker: 'none', ...(wrong && { deps: wrong }) });
  folder = world.archiveFolder;
  await world.tune({
    archiveUrl: registry.front.url,
    login: { user: 'deploy', password: { env: VARIABLE } },
    redirectOrigins: [registry.storage.url],
  });
  t.after(() => void delete process.env[VARIABLE]);
  const rotate = (value: string): void => void (process.env[VARIABLE] = value);
  await world.startWorker();
  return { world, registry, rotate };
}

function assertStorageSawNone({ storage }: Registry): void {
  assert.ok(storage.requests.length > 0, 'the pool was read there');
  for (const { url, headers } of storage.requests)
    assert.equal(headers.authorization, undefined, `the storage saw the login with ${url}`);
}

test('both sites are whole, and the storage never saw the login', NEEDS_APT, async (t) => {
  const { world, registry, rotate } = await aWorldBehindALogin(t);
  const [first, second] = [randomBytes(12).toString('hex'), randomBytes(12).toString('hex')];
  registry.password = first;
  await world.release([aPackage('hello', '1.0')]);

  const missing = await world.look();
  rotate('wrong');
  const refused = await world.look();
  rotate(first);
  await world.update();
  registry.password = second;
  rotate(second);
  await world.release([aPackage('hello', '2.0')]);
  await world.update();
  const doctor = await debgeo(world, 'doctor');

  for (const site of world.sites.values()) {
    assert.equal(await site.aptSees('hello', 'bookworm'), '2.0');
    await assertWhole(world, site.name);
  }
  assertStorageSawNone(registry);
  assert.equal(missing.report?.code, 'ARCHIVE_LOGIN_MISSING');
  assert.equal(refused.report?.code, 'ARCHIVE_DENIED');
  assert.match(refused.report.found!, new RegExp(`HTTP 401, .* variable ${VARIABLE}`));
  assert.match(doctor.stdout, new RegExp(`answers to the login of variable ${VARIABLE}, signed`));
  assert.ok(!doctor.stdout.includes(second));
});

test('a client that keeps the login across the redirect is seen', async (t) => {
  class Kept extends Login {
    override goesTo(): boolean {
      return true;
    }
  }
  const keeping =
    (registry: Registry) =>
    (real: Deps): Deps => ({
      ...real,
      archiveOf: async (record) => {
        const sent = { headers: { authorization: basic(registry.password) }, certificate: null };
        const login = new Kept(sent, record, 'kept');
        const archive = createHttpArchive({ ...record, as: login });
        t.after(() => archive.close());
        return archive;
      },
    });
  const { world, registry, rotate } = await aWorldBehindALogin(t, keeping);
  rotate((registry.password = randomBytes(12).toString('hex')));
  await world.release([aPackage('hello', '1.0')]);
  await world.update();

  assert.throws(() => assertStorageSawNone(registry), /the storage saw the login/);
});
