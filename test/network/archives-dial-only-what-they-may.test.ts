/**
 * An archive is dialled at public addresses only, and at loopback and private ones where the
 * operator says so. A tripwire counts who comes nevertheless, through each form in which a URL, a
 * redirect or a resolver can name an address.
 */
import assert from 'node:assert/strict';
import type { LookupAddress } from 'node:dns';
import http from 'node:http';
import https from 'node:https';
import { isIP } from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';

import { createHttpArchive } from '../../src/archive/http-archive.ts';
import { NO_PROXIES } from '../../src/archive/origin-agents.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import { parseRepoPath } from '../../src/domain/repo-path.ts';
import { kindOf } from '../../src/network/address-kind.ts';
import { type Agents, guardedAgents, type Resolve } from '../../src/network/guarded-agents.ts';
import { startServer, type TestServer } from '../archive/test-server.ts';
import { type Form, formsOfIPv4, formsOfNever, formsOfPrivate, LOOPBACK } from './forms.ts';
import { onTheInternet, startTripwire, type Tripwire } from './tripwire.ts';

const FILE = parseRepoPath('pool/hello.deb');
const NAME = 'archive.example';
/** Routed everywhere, to servers that answer nothing but DNS (RFC 7534). */
const PUBLIC = '192.31.196.1';
const IMPATIENT = { answerMs: 1_000, stallMs: 1_000, fetchMs: 1_000 };

type Options = Omit<Parameters<typeof createHttpArchive>[0], 'redirectOrigins'> & {
  readonly redirectOrigins?: readonly string[];
};

/** The code of what a read of an archive failed with; null if it went well. */
async function readOnce(options: Options): Promise<DebgeoError | null> {
  let archive;
  try {
    archive = createHttpArchive({ redirectOrigins: [], limits: IMPATIENT, ...options });
    const body = await archive.open(FILE, 1_000, new AbortController().signal);
    if (body !== null) await Array.fromAsync(body);
    return null;
  } catch (error) {
    assert.ok(error instanceof DebgeoError, String(error));
    return error;
  } finally {
    await archive?.close();
  }
}

/** A resolver that says one thing after the other; the last stays. */
function resolverOf(...answers: readonly (readonly string[])[]): Resolve & { asked: number } {
  const resolve = (
    _hostname: string,
    _options: object,
    callback: (error: null, addresses: LookupAddress[]) => void,
  ): void => {
    const answer = answers[Math.min(resolve.asked, answers.length - 1)]!;
    resolve.asked += 1;
    const found = answer.map((address) => ({ address, family: isIP(address.split('%')[0]!) }));
    setImmediate(() => callback(null, found));
  };
  resolve.asked = 0;
  return resolve;
}

describe('an archive', () => {
  let tripwire: Tripwire;
  let server: TestServer;
  before(async () => {
    tripwire = await startTripwire();
    server = await startServer();
  });
  beforeEach(() => {
    tripwire.reached = tripwire.dialled = server.requests.length = 0;
  });
  after(async () => {
    await server.close();
    await tripwire.close();
  });
  const serverPort = (): number => Number(new URL(server.url).port);
  const named = (agents: Agents, url = `http://${NAME}:${tripwire.port}`): Options => ({
    url,
    privateNetwork: false,
    agents,
  });

  async function refusesAll(forms: readonly Form[], privateNetwork: boolean): Promise<void> {
    for (const form of forms) {
      const error = await readOnce({ url: form.url, privateNetwork });
      const expected = form.isNoUrl ? 'CONFIG_INVALID' : 'ADDRESS_REFUSED';
      assert.equal(error?.code, expected, `${JSON.stringify(form.url)}: ${error?.report.found}`);
    }
    assert.equal(tripwire.reached, 0);
  }

  it('is not dialled by any form of what only a machine or its network reaches', async () => {
    const forms = [...formsOfNever(tripwire.port), ...formsOfPrivate(tripwire.port)];
    assert.ok(new Set(forms.map(({ url }) => url)).size >= 500, `${forms.length} forms`);

    await refusesAll(forms, false);

    const names = forms.filter(({ address }) => address === 'localhost');
    assert.ok(tripwire.dialled <= names.length, 'no socket was opened for an address');
  });

  it('in a private network is dialled there, and never at metadata or on the link', async () => {
    await refusesAll(formsOfNever(tripwire.port), true);
    assert.equal(tripwire.dialled, 0);

    for (const address of LOOPBACK)
      assert.equal(
        await readOnce({ url: `http://${address}:${tripwire.port}`, privateNetwork: true }),
        null,
      );
    assert.ok(tripwire.reached >= LOOPBACK.length);
  });

  it('says what was found, and what to type where that helps', async () => {
    const closed = await readOnce({ url: 'http://10.0.0.5', privateNetwork: false });
    assert.equal(closed?.report.found, '10.0.0.5 (private)');
    assert.match(closed?.report.expected ?? '', /`private_network: true`/);

    const never = await readOnce({ url: 'http://[::ffff:a9fe:a9fe]', privateNetwork: true });
    assert.equal(never?.report.found, '::ffff:a9fe:a9fe (metadata)');
    assert.doesNotMatch(never?.report.expected ?? '', /private_network/);
  });

  it('is not dialled where one of the addresses of its name is refused', async () => {
    for (const answer of [
      ['127.0.0.1'],
      [PUBLIC, '127.0.0.1'],
      ['127.0.0.1', PUBLIC],
      ['2a00::1', '::1'],
      [PUBLIC, '::ffff:10.0.0.5'],
      ['fe80::1%lo'],
    ]) {
      const error = await readOnce(named(guardedAgents('internet', resolverOf(answer))));
      assert.equal(error?.code, 'ADDRESS_REFUSED', answer.join());
    }
    for (const host of ['localhost.', 'metadata.google.internal', 'xn--bcher-kva.example']) {
      const agents = guardedAgents('internet', resolverOf(['127.0.0.1']));
      const error = await readOnce(named(agents, `http://${host}:${tripwire.port}`));
      assert.equal(error?.code, 'ADDRESS_REFUSED', host);
    }
    assert.equal(tripwire.reached, 0);
  });

  it('is dialled at what was judged, whatever its name says when it is asked again', async () => {
    const resolver = resolverOf([PUBLIC], ['127.0.0.1']);
    const agents = guardedAgents('internet', resolver);

    assert.equal((await readOnce(named(agents)))?.code, 'ARCHIVE_UNREACHABLE');
    assert.equal(resolver.asked, 1, 'a dial asks once');
    assert.equal((await readOnce(named(agents)))?.code, 'ADDRESS_REFUSED');
    assert.equal(tripwire.reached, 0);
  });

  it('is not asked for at an address that is refused through a proxy either', async () => {
    const { port } = tripwire;
    const proxies = { ...NO_PROXIES, HTTP_PROXY: `http://127.0.0.1:${port}` };
    const read = (host: string, privateNetwork: boolean): Promise<DebgeoError | null> =>
      readOnce({ url: `http://${host}`, privateNetwork, proxies });

    assert.equal((await read('0xa9fea9fe', true))?.code, 'ADDRESS_REFUSED');
    assert.equal((await read('10.0.0.5', false))?.code, 'ADDRESS_REFUSED');
    assert.equal(tripwire.reached, 0);
    assert.equal(await read('10.0.0.5', true), null);
    assert.equal(await read(NAME, false), null, 'the proxy may be in a private network');
    assert.equal(tripwire.reached, 2);
  });

  /** The archive is on the Internet, and redirects to a form that `redirect_origins` allows. */
  const redirected = ({ url }: Form, agents: Agents, privateNetwork = false) => {
    server.handle = (_, response) => void response.writeHead(302, { location: url }).end();
    return readOnce({
      url: `http://${NAME}`,
      redirectOrigins: [URL.parse(url)?.origin ?? 'http://other.example'],
      privateNetwork,
      agents: onTheInternet(NAME, serverPort(), agents),
    });
  };

  it('leads nowhere by a redirect', async () => {
    const forms = [...formsOfNever(tripwire.port), ...formsOfPrivate(tripwire.port)].filter(
      // What a header can hold, and what is no path of the archive itself (`http:10.0.0.5`).
      ({ url }) =>
        /^[\x21-\x7e]+$/.test(url) && URL.parse(url, `http://${NAME}`)?.hostname !== NAME,
    );
    assert.ok(forms.length >= 500, `${forms.length} forms`);
    for (const form of forms) {
      const error = await redirected(form, guardedAgents('internet'));
      const expected = form.isNoUrl ? 'ARCHIVE_REDIRECT' : 'ADDRESS_REFUSED';
      assert.equal(error?.code, expected, form.url);
    }
    assert.equal(server.requests.length, forms.length);
    assert.equal(tripwire.reached, 0);
  });

  /** Its first connection is closed before the second request, and then it has moved. */
  async function tryTwice(agents: Agents): Promise<DebgeoError | null> {
    let connections = 0;
    server.handle = (request, response) => {
      if (request.url?.endsWith('Release')) return void response.end('here');
      connections += 1;
      request.socket.destroy();
    };
    const archive = createHttpArchive({
      ...named(onTheInternet(NAME, serverPort(), agents, () => connections === 0)),
      redirectOrigins: [],
      limits: IMPATIENT,
    });
    const { signal } = new AbortController();
    try {
      for (const path of ['InRelease', 'pool/hello.deb']) {
        const body = await archive.open(parseRepoPath(path), 1_000, signal);
        await Array.fromAsync(body!);
      }
      return null;
    } catch (error) {
      assert.ok(error instanceof DebgeoError, String(error));
      return error;
    } finally {
      await archive.close();
    }
  }

  it('is judged again when its connection is lost and it is dialled once more', async () => {
    const error = await tryTwice(guardedAgents('internet', resolverOf(['127.0.0.1'])));

    assert.equal(error?.code, 'ADDRESS_REFUSED');
    assert.equal(tripwire.reached, 0);
  });

  describe('would be seen at the tripwire', () => {
    const plain = (protocol: string, options: http.AgentOptions = {}): http.Agent =>
      protocol === 'https:' ? new https.Agent(options) : new http.Agent(options);
    /** Judges what `judged` picks of all addresses, and then dials all. */
    const judging =
      (resolve: Resolve, judged: (found: LookupAddress[]) => LookupAddress[]): Agents =>
      (protocol, options) =>
        plain(protocol, {
          ...options,
          lookup: (hostname, asked, callback) =>
            resolve(hostname, { ...asked, all: true }, (error, found) => {
              const isRefused = judged(found).some(({ address }) => kindOf(address) !== 'public');
              callback(isRefused ? new Error('refused') : error, found);
            }),
        });

    it('where nothing is judged', async () => {
      for (const form of formsOfIPv4('127.0.0.1', tripwire.port))
        if (['127.0.0.1', '[::ffff:7f00:1]'].includes(URL.parse(form.url)?.hostname ?? ''))
          await readOnce({ url: form.url, privateNetwork: false, agents: plain });
      assert.ok(tripwire.reached >= 20, `${tripwire.reached}`);
    });

    it('where only names are judged', async () => {
      const agents = judging(resolverOf([PUBLIC]), (found) => found);
      await readOnce({
        url: `http://2130706433:${tripwire.port}`,
        privateNetwork: false,
        agents,
      });
      assert.ok(tripwire.reached > 0);
    });

    it('where the host is judged as it is written, and not its address', async () => {
      const agents: Agents = (protocol, options) => {
        const agent = judging(resolverOf(['127.0.0.1']), () => [])(protocol, options);
        const connect = agent.createConnection.bind(agent);
        agent.createConnection = (to, done) => {
          assert.ok(to.host !== 'localhost' && isIP(to.host ?? '') === 0);
          return connect(to, done);
        };
        return agent;
      };
      await readOnce(named(agents));
      assert.ok(tripwire.reached > 0);
    });

    it('where the first address alone is judged', async () => {
      await readOnce(
        named(judging(resolverOf([PUBLIC, '127.0.0.1']), (found) => found.slice(0, 1))),
      );
      assert.ok(tripwire.reached > 0);
    });

    it('where a name is judged, and resolved once more to be dialled', async () => {
      const resolver = resolverOf([PUBLIC], ['127.0.0.1']);
      const twice: Resolve = (hostname, options, callback) =>
        resolver(hostname, options, (_, judged) =>
          judged.every(({ address }) => kindOf(address) === 'public')
            ? resolver(hostname, options, callback)
            : callback(new Error('refused'), []),
        );
      await readOnce(named(judging(twice, () => [])));
      assert.ok(tripwire.reached > 0);
    });

    it('where a redirect is not judged', async () => {
      const error = await redirected(
        { url: `http://127.0.0.1:${tripwire.port}`, address: '127.0.0.1', isNoUrl: false },
        plain,
      );
      assert.equal(error, null);
      assert.ok(tripwire.reached > 0);
    });

    it('where the second try is not judged', async () => {
      const resolver = resolverOf(['127.0.0.1']);
      const agents: Agents = (protocol, options) =>
        options?.keepAlive === true
          ? guardedAgents('internet', resolver)(protocol, options)
          : judging(resolver, () => [])(protocol, options);
      await tryTwice(agents);
      assert.ok(tripwire.reached > 0);
    });
  });
});
