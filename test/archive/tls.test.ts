/** Certificates: of an archive that Node does not trust by itself, and those of clients. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';

import { createHttpArchive } from '../../src/archive/http-archive.ts';
import { loadLogin, Login } from '../../src/archive/login.ts';
import type { DebgeoError } from '../../src/domain/errors.ts';
import { parseRepoPath } from '../../src/domain/repo-path.ts';
import { Secrets } from '../../src/secrets/secrets.ts';
import { makeAuthority, makeWeakPair, type Authority, type Pair } from '../support/certificates.ts';
import { NEEDS_OPENSSL } from '../support/needs.ts';
import { refusesWith } from '../support/refuses-with.ts';
import { never, readAll } from './archive-contract.ts';
import { answeringOnce, startServer, type TestServer } from './test-server.ts';

const FILE = parseRepoPath('pool/hello.deb');

describe('an archive behind https', NEEDS_OPENSSL, () => {
  let authority: Authority;
  let client: Pair;
  let ca: Uint8Array;
  let server: TestServer;
  let other: TestServer;
  /** Asks each client for a certificate, and takes none that another authority has signed. */
  let strict: TestServer;

  before(async () => {
    authority = makeAuthority();
    client = authority.sign('debgeo');
    ca = Buffer.from(`text between them\n${makeAuthority().cert}${authority.cert}`);
    const pair = authority.sign('localhost');
    const asking = { ...pair, ca: authority.cert, requestCert: true };
    server = await startServer('127.0.0.1', { ...asking, rejectUnauthorized: false });
    other = await startServer('127.0.0.1', { ...asking, rejectUnauthorized: false });
    strict = await startServer('127.0.0.1', { ...asking, rejectUnauthorized: true });
  });
  beforeEach(() => {
    for (const one of [server, other, strict]) {
      one.requests.length = 0;
      one.handle = (_, response) => response.end('x');
    }
  });
  after(async () => {
    for (const one of [server, other, strict]) await one.close();
  });

  const get = async (
    url: string,
    options: { ca?: Uint8Array; as?: Login; times?: number } = {},
  ): Promise<string> => {
    const archive = createHttpArchive({
      url,
      privateNetwork: true,
      redirectOrigins: [other.url],
      ...options,
    });
    let text = '';
    try {
      for (let asked = 0; asked < (options.times ?? 1); asked += 1)
        text += String(await readAll(await archive.open(FILE, 1024, never)));
      return text;
    } finally {
      await archive.close();
    }
  };
  const refusal = async (
    url: string,
    options?: { ca?: Uint8Array; as?: Login },
  ): Promise<DebgeoError['report']> =>
    get(url, options).then(
      () => assert.fail('it was answered'),
      ({ report }: DebgeoError) => report,
    );
  const loginAs = ({ cert, key }: Pair, url: string): Promise<Login> =>
    loadLogin(
      { client_certificate: { env: 'DEBGEO_CERT' }, key: { env: 'DEBGEO_KEY' } },
      { url, privateNetwork: false, insecure: false },
      new Secrets({ DEBGEO_CERT: cert, DEBGEO_KEY: key }, null),
    );

  it('is trusted by `ca`, along a redirect and on a new connection; else it says so', async () => {
    const unknown = await refusal(server.url);
    const another = await refusal(server.url, { ca: Buffer.from(makeAuthority().cert) });
    server.handle = answeringOnce('y');
    const again = await get(server.url, { ca, times: 2 });
    server.handle = (_, response) =>
      void response.writeHead(302, { location: `${other.url}/there` }).end();
    const redirected = await get(server.url, { ca });

    assert.deepEqual([again, redirected], ['yy', 'x']);
    for (const report of [unknown, another]) {
      assert.equal(report.code, 'ARCHIVE_UNREACHABLE');
      assert.match(report.expected!, /`ca: FILE` of the archive/);
    }
  });

  it('must have a certificate for its host', async () => {
    const report = await refusal(`https://127.0.0.1:${server.port}`, { ca });

    assert.equal(report.code, 'ARCHIVE_UNREACHABLE');
    assert.match(report.expected!, /for the host of `url`/);
  });

  it('that asks for a certificate of the client is shown it, on each connection', async () => {
    const login = await loginAs(client, strict.url);
    const without = await refusal(strict.url, { ca });
    strict.handle = answeringOnce('x');

    assert.equal(await get(strict.url, { ca, as: login, times: 2 }), 'xx');

    assert.deepEqual(
      strict.requests.map((request) => request.client),
      ['debgeo', 'debgeo', 'debgeo'],
    );
    assert.equal(without.code, 'ARCHIVE_UNREACHABLE');
    assert.match(without.expected!, /client_certificate/);
  });

  /** Both ask for one; `server` redirects to `other`. */
  const isShownAtHomeOnly = async (login: Login): Promise<void> => {
    server.handle = (_, response) =>
      void response.writeHead(302, { location: `${other.url}/there` }).end();

    await get(server.url, { ca, as: login });

    assert.deepEqual([server.requests[0]!.client, other.requests[0]!.client], ['debgeo', null]);
  };

  it('shows the certificate of the client to its own origin only', async () =>
    isShownAtHomeOnly(await loginAs(client, server.url)));

  it('would be seen if another origin was shown it', async () => {
    class Everywhere extends Login {
      override goesTo(): boolean {
        return true;
      }
    }
    const place = { url: server.url, privateNetwork: false, insecure: false };
    const login = new Everywhere({ headers: {}, certificate: client }, place, 'everywhere');

    await assert.rejects(isShownAtHomeOnly(login), assert.AssertionError);
  });

  it('takes no key of another certificate, no key with a passphrase, and no http', async () => {
    const { key } = authority.sign('other');
    const encrypted = key.replaceAll('PRIVATE KEY', 'ENCRYPTED PRIVATE KEY');
    for (const wrong of [
      { ...client, key },
      { ...client, key: encrypted },
    ])
      await assert.rejects(
        loginAs(wrong, server.url),
        (error) =>
          refusesWith('CONFIG_INVALID', { message: /variable DEBGEO_KEY/ })(error) &&
          !JSON.stringify(error.report).includes(key.split('\n')[1]!),
      );
    await assert.rejects(
      loginAs(client, 'http://127.0.0.1:1'),
      refusesWith('CONFIG_INVALID', { found: /over https only/ }),
    );
  });

  it('says so where OpenSSL does not show the certificate of the client', async () => {
    const report = await refusal(server.url, { ca, as: await loginAs(makeWeakPair(), server.url) });

    assert.equal(report.code, 'CONFIG_INVALID', 'an error without a code is no incident');
    assert.match(report.message, /variable DEBGEO_CERT and variable DEBGEO_KEY/);
    assert.equal(report.found, 'ERR_SSL_EE_KEY_TOO_SMALL');
    assert.equal(server.requests.length, 0);
  });
});
