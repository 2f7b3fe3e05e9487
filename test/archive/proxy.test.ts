/**
 * Archives that only a proxy reaches. Their names are nowhere but at the proxy: a request that goes
 * another way fails.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';

import { createHttpArchive } from '../../src/archive/http-archive.ts';
import { loadLogin } from '../../src/archive/login.ts';
import { NO_PROXIES, type Proxies } from '../../src/archive/origin-agents.ts';
import type { DebgeoError } from '../../src/domain/errors.ts';
import { parseRepoPath } from '../../src/domain/repo-path.ts';
import { Secrets } from '../../src/secrets/secrets.ts';
import { makeAuthority } from '../support/certificates.ts';
import { startHttpProxy, type HttpProxy } from '../support/http-proxy.ts';
import { NEEDS_OPENSSL } from '../support/needs.ts';
import { never, readAll } from './archive-contract.ts';
import { answeringOnce, startServer, type TestServer } from './test-server.ts';

const FILE = parseRepoPath('pool/a+b~c %3a d.deb');
const TOKEN = 'canary-token';
const PASSWORD = 'canary/p@ss';
const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;

describe('an archive behind a proxy', NEEDS_OPENSSL, () => {
  let proxy: HttpProxy;
  let plain: TestServer;
  let secure: TestServer;
  let ca: Uint8Array;
  let proxies: Proxies;

  before(async () => {
    const authority = makeAuthority();
    ca = Buffer.from(authority.cert);
    plain = await startServer();
    secure = await startServer('127.0.0.1', authority.sign('archive.example'));
  });
  beforeEach(async () => {
    await proxy?.close();
    proxy = await startHttpProxy();
    proxy.authorization = basic(`debgeo:${PASSWORD}`);
    proxies = proxiesWith(PASSWORD);
    for (const one of [plain, secure]) {
      one.requests.length = 0;
      one.handle = (_, response) => response.end('x');
    }
  });
  after(async () => {
    for (const one of [proxy, plain, secure]) await one.close();
  });

  const proxiesWith = (password: string): Proxies => {
    const url = `http://debgeo:${encodeURIComponent(password)}@127.0.0.1:${proxy.port}/`;
    return { ...NO_PROXIES, HTTP_PROXY: url, HTTPS_PROXY: url };
  };
  const get = async (
    url: string,
    options: { times?: number; answerMs?: number; signal?: AbortSignal } = {},
  ) => {
    const { hostname, protocol } = new URL(url);
    proxy.hosts.set(hostname, protocol === 'https:' ? secure.port : plain.port);
    const login = await loadLogin(
      { bearer: { env: 'DEBGEO_TOKEN' } },
      { url, privateNetwork: true, insecure: true },
      new Secrets({ DEBGEO_TOKEN: TOKEN }, null),
    );
    const limits = options.answerMs === undefined ? {} : { answerMs: options.answerMs };
    const archive = createHttpArchive({
      url,
      privateNetwork: true,
      redirectOrigins: [],
      as: login,
      ca,
      proxies,
      limits,
    });
    let text = '';
    try {
      for (let asked = 0; asked < (options.times ?? 1); asked += 1)
        text += String(await readAll(await archive.open(FILE, 1024, options.signal ?? never)));
      return text;
    } finally {
      await archive.close();
    }
  };
  const refusal = async (...args: Parameters<typeof get>): Promise<DebgeoError> =>
    get(...args).then(
      () => assert.fail('it was answered'),
      (error: DebgeoError) => error,
    );

  it('is asked with http in absolute form, byte for byte, and without the password', async () => {
    plain.handle = answeringOnce('x');

    assert.equal(await get('http://archive.example/debian', { times: 2 }), 'xx');

    const path = '/debian/pool/a%2bb%7ec%20%253a%20d.deb';
    for (const { line } of proxy.asked) assert.equal(line, `GET http://archive.example${path}`);
    for (const { url, headers } of plain.requests) {
      assert.deepEqual(
        [url, headers.host, headers.authorization],
        [path, 'archive.example', `Bearer ${TOKEN}`],
      );
      assert.equal(headers['proxy-authorization'], undefined);
    }
  });

  it('is asked with https through a tunnel, which hides the login, and a new one', async () => {
    secure.handle = answeringOnce('x');

    assert.equal(await get('https://archive.example/debian', { times: 2 }), 'xx');

    assert.deepEqual(
      proxy.asked.map(({ line }) => line),
      ['CONNECT archive.example:443', 'CONNECT archive.example:443'],
    );
    assert.doesNotMatch(inspect(proxy.asked), new RegExp(TOKEN));
    for (const { headers } of secure.requests) {
      assert.equal(headers.authorization, `Bearer ${TOKEN}`);
      assert.equal(headers['proxy-authorization'], undefined);
    }
  });

  for (const scheme of ['http', 'https'])
    it(`says that the proxy asks for a password, and shows none: ${scheme}`, async () => {
      proxies = proxiesWith('canary-wrong');

      const error = await refusal(`${scheme}://archive.example`);

      assert.equal(error.code, 'ARCHIVE_DENIED');
      assert.match(error.report.expected!, /for the proxy \(HTTP_PROXY, HTTPS_PROXY/);
      assert.doesNotMatch(inspect(error, { depth: null, showHidden: true }), /canary/);
    });

  for (const scheme of ['http', 'https'])
    it(`is unreachable where the proxy does not reach it, or is gone: ${scheme}`, async () => {
      const url = `${scheme}://archive.example`;
      const hosts = proxy.hosts;
      hosts.set = () => hosts;
      const unknown = await refusal(url);
      await proxy.close();
      const gone = await refusal(url);
      proxy = await startHttpProxy();

      for (const error of [unknown, gone]) {
        assert.equal(error.code, 'ARCHIVE_UNREACHABLE');
        assert.doesNotMatch(inspect(error, { depth: null, showHidden: true }), /canary/);
      }
    });

  for (const how of ['silent', 'drips', 'behind'] as const)
    it(`ends in its time where the tunnel hangs, and leaves no connection: ${how}`, async () => {
      proxy.hangs = how;
      const began = performance.now();

      const error = await refusal('https://archive.example', { answerMs: 300 });

      assert.equal(error.code, 'ARCHIVE_UNREACHABLE');
      assert.ok(performance.now() - began < 2_000, 'of one wait, whatever came meanwhile');
      for (let waited = 0; proxy.open() > 0 && waited < 5_000; waited += 50) await sleep(50);
      assert.equal(proxy.open(), 0);
    });

  for (const scheme of ['http', 'https'])
    it(`is read to its end, however long after the tunnel stands: ${scheme}`, async () => {
      for (const one of [plain, secure])
        one.handle = (_, response) => {
          response.write('x');
          setTimeout(() => response.end('y'), 500);
        };

      assert.equal(await get(`${scheme}://archive.example`, { answerMs: 200 }), 'xy');
    });

  it('ends at once where it is given up while the tunnel hangs', async () => {
    proxy.hangs = 'behind';

    const error = await refusal('https://archive.example', { signal: AbortSignal.timeout(100) });

    assert.equal(error.name, 'AbortError');
  });

  it('is asked straight where NO_PROXY names it, or where it is this machine', async () => {
    assert.equal(await get(plain.url), 'x');
    proxies = { ...proxies, NO_PROXY: '.example' };
    const straight = await refusal('http://archive.example');

    assert.equal(straight.code, 'ARCHIVE_UNREACHABLE', 'no other way leads there');
    assert.deepEqual(proxy.asked, []);
  });
});
