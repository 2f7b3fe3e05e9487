/** Where a login goes, and where not; what is no login, and what an archive says to one. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { inspect } from 'node:util';

import { createHttpArchive } from '../../src/archive/http-archive.ts';
import { loadLogin, Login } from '../../src/archive/login.ts';
import type { ArchiveLogin, LoginPlace } from '../../src/domain/archive-login.ts';
import type { DebgeoError } from '../../src/domain/errors.ts';
import { parseRepoPath } from '../../src/domain/repo-path.ts';
import { Secrets } from '../../src/secrets/secrets.ts';
import { refusesWith } from '../support/refuses-with.ts';
import { never, readAll } from './archive-contract.ts';
import { answeringOnce, startServer, type TestServer } from './test-server.ts';

const FILE = parseRepoPath('pool/hello.deb');
const SECRET = 'canary-5f1c';
const BASIC: ArchiveLogin = { user: 'deploy', password: { env: 'DEBGEO_PASSWORD' } };
const AS_BASIC = `Basic ${Buffer.from(`deploy:${SECRET}`).toString('base64')}`;

const at = (url: string, more: Partial<LoginPlace> = {}): LoginPlace => ({
  url,
  privateNetwork: false,
  insecure: false,
  ...more,
});
/** @param value of every variable that the login names */
const load = (login: ArchiveLogin, place: LoginPlace, value: string = SECRET): Promise<Login> =>
  loadLogin(
    login,
    place,
    new Secrets({ DEBGEO_PASSWORD: value, DEBGEO_TOKEN: value, DEBGEO_KEY: value }, null),
  );

describe('a login', () => {
  let server: TestServer;
  let other: TestServer;

  before(async () => {
    server = await startServer();
    other = await startServer();
  });
  beforeEach(() => {
    server.requests.length = other.requests.length = 0;
    server.handle = other.handle = (_, response) => response.end('x');
  });
  after(async () => {
    await server.close();
    await other.close();
  });

  const get = async (login: Login | null, url = server.url): Promise<string> => {
    const archive = createHttpArchive({
      url,
      privateNetwork: true,
      redirectOrigins: [other.url],
      as: login,
    });
    try {
      return String(await readAll(await archive.open(FILE, 1024, never)));
    } finally {
      await archive.close();
    }
  };
  const denied = async (login: Login | null, url?: string): Promise<DebgeoError['report']> =>
    get(login, url).then(
      () => assert.fail('it was answered'),
      ({ report }: DebgeoError) => report,
    );

  it('is sent as its kind says: Basic in UTF-8, Bearer, headers', async () => {
    const place = at(server.url);
    const headers = {
      'Deploy-Token': { env: 'DEBGEO_TOKEN' },
      Cookie: { env: 'DEBGEO_KEY' },
    } as const;
    await get(await load({ user: 'Jörg', password: { env: 'DEBGEO_PASSWORD' } }, place, 'p:ß '));
    await get(await load({ bearer: { env: 'DEBGEO_TOKEN' } }, place, 'abc.DEF-_~+/=='));
    await get(await load({ headers }, place, 'a b'));

    const [basic, bearer, own] = server.requests.map((request) => request.headers);
    const sent = Buffer.from(basic!.authorization!.replace('Basic ', ''), 'base64');
    assert.equal(sent.toString('utf8'), 'Jörg:p:ß ');
    assert.equal(bearer!.authorization, 'Bearer abc.DEF-_~+/==');
    assert.deepEqual([own!['deploy-token'], own!.cookie], ['a b', 'a b']);
  });

  it('is sent again on a new connection, where the kept one was closed', async () => {
    server.handle = answeringOnce('x');
    const login = await load(BASIC, at(server.url));
    const archive = createHttpArchive({
      url: server.url,
      privateNetwork: true,
      redirectOrigins: [],
      as: login,
    });

    for (let asked = 0; asked < 2; asked += 1) await readAll(await archive.open(FILE, 10, never));

    await archive.close();
    assert.deepEqual(
      server.requests.map(({ headers }) => headers.authorization),
      [AS_BASIC, AS_BASIC, AS_BASIC],
    );
  });

  /** Its own origin, another one, its own again. */
  const staysAtItsOrigin = async (login: Login): Promise<void> => {
    server.handle = (request, response) => {
      if (request.url === '/back') return response.end('back');
      const location = request.url === '/here' ? `${other.url}/there` : '/here';
      response.writeHead(302, { location }).end();
    };
    other.handle = (_, response) =>
      void response.writeHead(302, { location: `${server.url}/back` }).end();

    assert.equal(await get(login), 'back');

    const at = server.requests.map(({ url, headers }) => [url, headers.authorization]);
    assert.deepEqual(at, [
      ['/pool/hello.deb', AS_BASIC],
      ['/here', AS_BASIC],
      ['/back', AS_BASIC],
    ]);
    assert.deepEqual(
      other.requests.map(({ headers }) => headers.authorization),
      [undefined],
    );
  };

  it('goes to its own origin only, along every redirect', async () =>
    staysAtItsOrigin(await load(BASIC, at(server.url))));

  it('would be seen if it went along a redirect', async () => {
    const login = await load(BASIC, at(server.url));
    class Kept extends Login {
      override headersFor(): Readonly<Record<string, string>> {
        return login.headersFor(new URL(server.url));
      }
    }
    const kept = new Kept({ headers: {}, certificate: null }, at(server.url), 'kept');

    await assert.rejects(staysAtItsOrigin(kept), assert.AssertionError);
  });

  it('goes over http within this machine only, unless two keys permit it', async () => {
    const url = 'http://archive.example.org/debian';
    const both = at(url, { privateNetwork: true, insecure: true });
    for (const place of [
      at(url),
      at(url, { privateNetwork: true }),
      at(url, { insecure: true }),
      at('http://10.0.0.1', { privateNetwork: true }),
    ])
      await assert.rejects(
        load(BASIC, place),
        refusesWith('CONFIG_INVALID', { found: /^login: .*private_network: true and insecure/ }),
      );
    for (const local of ['http://127.0.0.1:1', 'http://[::1]:1', 'http://localhost'])
      await load(BASIC, at(local));

    const login = await load(BASIC, both);
    const overHttps = await load(BASIC, at('https://archive.example.org'));
    assert.deepEqual(login.headersFor(new URL(url)), { authorization: AS_BASIC });
    for (const [one, to] of [
      [login, 'https://archive.example.org/debian'],
      [login, 'http://archive.example.org:8080/debian'],
      [login, 'http://www.archive.example.org/debian'],
      [overHttps, url],
      // Judged where it is sent, whatever was judged before:
      [new Login({ headers: { authorization: 'x' }, certificate: null }, at(url), ''), url],
    ] as const)
      assert.deepEqual(one.headersFor(new URL(to)), {}, to);
  });

  for (const [what, login, value] of [
    ['a password of two lines', BASIC, `${SECRET}\nX: y`],
    ['a bearer token with a blank', { bearer: { env: 'DEBGEO_TOKEN' } }, `${SECRET} x`],
    ['a header of two lines', { headers: { x: { env: 'DEBGEO_TOKEN' } } }, `${SECRET}\r\nY: z`],
    ['a header that is no ASCII', { headers: { x: { env: 'DEBGEO_TOKEN' } } }, `${SECRET}ß`],
    ['a header with NUL', { headers: { x: { env: 'DEBGEO_TOKEN' } } }, `${SECRET}\0`],
    [
      'a certificate that is none',
      { client_certificate: { env: 'DEBGEO_TOKEN' }, key: { env: 'DEBGEO_KEY' } },
      SECRET,
    ],
  ] as const satisfies readonly (readonly [string, ArchiveLogin, string])[])
    it(`is refused without being shown: ${what}`, async () => {
      await assert.rejects(
        load(login, at('https://archive.example.org'), value),
        (error) =>
          refusesWith('CONFIG_INVALID', { message: /variable DEBGEO_/ })(error) &&
          !inspect(error, { depth: null, showHidden: true }).includes(SECRET),
      );
    });

  for (const name of [
    'Host',
    'content-length',
    'Connection',
    'Proxy-Authorization',
    'a b',
    'é',
    '',
  ])
    it(`has no header "${name}"`, async () => {
      await assert.rejects(
        load({ headers: { [name]: { env: 'DEBGEO_TOKEN' } } }, at(server.url)),
        refusesWith('CONFIG_INVALID', { found: /^login\.headers\./ }),
      );
    });

  it('is of nobody but those that the worker gives away', async () => {
    const missing = { user: 'deploy', password: { env: 'DEBGEO_NOT_SET' } };
    const other = { user: 'deploy', password: { env: 'DATABASE_URL' } };
    const file = { bearer: { file: '/nonexistent/token' } };

    await assert.rejects(
      load(missing, at(server.url)),
      refusesWith('ARCHIVE_LOGIN_MISSING', { message: /variable DEBGEO_NOT_SET/ }),
    );
    await assert.rejects(
      load(file, at(server.url)),
      refusesWith('ARCHIVE_LOGIN_MISSING', { message: /file \/nonexistent\/token/ }),
    );
    await assert.rejects(load(other, at(server.url)), refusesWith('REFERENCE_REFUSED'));
  });

  it('does not show itself, and tells one secret from another', async () => {
    const [one, two, again] = await Promise.all(
      ['canary-1111', 'canary-2222', 'canary-1111\n'].map((value) =>
        load(BASIC, at(server.url), value),
      ),
    );

    const shown = inspect(one, { depth: null, showHidden: true }) + JSON.stringify(one);
    assert.doesNotMatch(shown + one!.fingerprint, /canary|Basic/);
    assert.equal(one!.name, 'variable DEBGEO_PASSWORD');
    assert.notEqual(one!.fingerprint, two!.fingerprint);
    assert.equal(one!.fingerprint, again!.fingerprint, 'an editor ended the line');
  });

  it('that is refused, or lacks, is said by its reference', async () => {
    const login = await load(BASIC, at(server.url));
    const answer = (status: number) => (server.handle = (_, r) => void r.writeHead(status).end());

    answer(401);
    const without = await denied(null);
    const wrong = await denied(login);
    answer(403);
    const forbidden = await denied(login);
    answer(407);
    const proxy = await denied(login);
    server.handle = (_, response) =>
      void response.writeHead(302, { location: `${other.url}/x` }).end();
    other.handle = (_, response) => void response.writeHead(403).end();
    const elsewhere = await denied(login);

    const said = [without, wrong, forbidden, proxy, elsewhere].map(
      ({ code, expected, found }) => `${code}: ${found} | ${expected!.split('\n')[1]}`,
    );
    const own = 'asked with the login of variable DEBGEO_PASSWORD';
    assert.deepEqual(said, [
      'ARCHIVE_DENIED: HTTP 401, asked without a login' +
        ' | a login that it knows (`login` of the archive)',
      `ARCHIVE_DENIED: HTTP 401, ${own} | a login that it knows (\`login\` of the archive)`,
      `ARCHIVE_DENIED: HTTP 403, ${own} | a login that may read this`,
      `ARCHIVE_DENIED: HTTP 407, ${own} | a user and a password for the proxy ` +
        '(HTTP_PROXY, HTTPS_PROXY of the worker)',
      'ARCHIVE_DENIED: HTTP 403, asked without the login, which goes to the origin of `url` only' +
        ' | a login that may read this',
    ]);
    assert.doesNotMatch(JSON.stringify([wrong, forbidden, proxy, elsewhere]), /canary/);
  });

  it('may be what lacks where GitLab answers 404, and nowhere else', async () => {
    server.handle = (_, response) => void response.writeHead(404).end();
    const missing = async (path: string): Promise<string> => {
      const archive = createHttpArchive({
        url: server.url + path,
        privateNetwork: true,
        redirectOrigins: [],
      });
      const report = await archive.fetchReleaseSet('dists/trixie', null, never).then(
        () => assert.fail('it was answered'),
        (error: DebgeoError) => error.report,
      );
      await archive.close();
      assert.equal(report.code, 'RELEASE_MISSING');
      return report.found!;
    };

    for (const path of [
      '/api/v4/projects/42/packages/debian',
      '/api/v4/projects/group%2Fproject/packages/debian/',
      '/gitlab/api/v4/groups/7/-/packages/debian',
    ])
      assert.match(await missing(path), /GitLab says so, too/, path);
    for (const path of ['/debian', '/api/v4/projects/42/packages/debian/more'])
      assert.doesNotMatch(await missing(path), /GitLab/, path);
  });
});
