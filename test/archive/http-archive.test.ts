import assert from 'node:assert/strict';
import { getEventListeners, once } from 'node:events';
import net from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';

import type { Archive } from '../../src/archive/archive.ts';
import { createHttpArchive } from '../../src/archive/http-archive.ts';
import type { DebgeoError } from '../../src/domain/errors.ts';
import { parseRepoPath } from '../../src/domain/repo-path.ts';
import { refusesWith } from '../support/refuses-with.ts';
import { archiveContract, type ArchiveUnderTest, never, readAll } from './archive-contract.ts';
import { startServer, type TestServer } from './test-server.ts';

const MiB = 1024 * 1024;
const LIMITS = { releaseBytes: 64 * 1024 };
/** For archives that are slow on purpose; everywhere else a busy machine must not look like one. */
const IMPATIENT = { ...LIMITS, stallMs: 500, bytesPerSecondMin: 1000, rateWindowMs: 300 };
const file = parseRepoPath('pool/hello.deb');

/** A file server as mirrors run it: decodes the path, answers conditional requests. */
async function startFiles(): Promise<ArchiveUnderTest> {
  const files = new Map<string, { bytes: Uint8Array; modified: Date }>();
  let clock = Date.UTC(2026, 0, 1);
  const server = await startServer();
  server.handle = (request, response) => {
    const found = files.get(decodeURIComponent(request.url ?? '').replace(/^\/debian\//, ''));
    if (found === undefined)
      return void response.writeHead(404, { 'content-length': 9 }).end('not found');
    response.setHeader('last-modified', found.modified.toUTCString());
    if (request.headers['if-modified-since'] === found.modified.toUTCString())
      return void response.writeHead(304).end();
    response.writeHead(200, { 'content-length': found.bytes.length }).end(found.bytes);
  };
  const archive = createHttpArchive({
    url: `${server.url}/debian/`,
    redirectOrigins: [],
    privateNetwork: true,
    limits: LIMITS,
  });
  return {
    archive,
    releaseBytesMax: LIMITS.releaseBytes,
    put: (path, bytes) => void files.set(path, { bytes, modified: new Date((clock += 1000)) }),
    clear: () => files.clear(),
    close: async () => {
      await archive.close();
      await server.close();
    },
  };
}

archiveContract('an archive behind http', startFiles);

describe('an archive behind http', () => {
  let server: TestServer;
  let archive: Archive;
  const becomeImpatient = (limits: object = {}) =>
    (archive = createHttpArchive({
      url: server.url,
      redirectOrigins: [],
      privateNetwork: true,
      limits: { ...IMPATIENT, ...limits },
    }));
  const get = async (sizeMax = MiB) => readAll(await archive.open(file, sizeMax, never));

  before(async () => {
    server = await startServer();
  });
  beforeEach(async () => {
    await archive?.close();
    archive = createHttpArchive({
      url: `${server.url}/debian`,
      redirectOrigins: [],
      privateNetwork: true,
      limits: LIMITS,
    });
    server.requests.length = 0;
    server.connections = 0;
  });
  after(async () => {
    await archive.close();
    await server.close();
  });

  it('asks as apt does, for the bytes as they are, on one connection', async () => {
    server.handle = (_, response) => response.end('x');

    for (const name of ['pool/a+b~c.deb', 'pool/%3a d.deb', 'pool/..d/e..f.deb'])
      await readAll(await archive.open(parseRepoPath(name), 10, never));

    assert.deepEqual(
      server.requests.map(({ url }) => url),
      ['/debian/pool/a%2bb%7ec.deb', '/debian/pool/%253a%20d.deb', '/debian/pool/..d/e..f.deb'],
    );
    assert.equal(server.requests[0]?.headers['accept-encoding'], 'identity');
    assert.equal(server.connections, 1);
  });

  it('keeps the connection after 404 and 304', async () => {
    server.handle = (request, response) =>
      void response
        .writeHead(request.url?.endsWith('InRelease') ? 304 : 404, { 'content-length': 0 })
        .end();

    await archive.open(file, 1, never);
    const answer = await archive.fetchReleaseSet(
      'dists/a',
      { etag: '"1"', lastModified: null },
      never,
    );

    assert.equal(answer, 'unchanged');
    assert.equal(server.connections, 1);
  });

  it('asks nothing for a caller that has ended, and keeps no listener afterwards', async () => {
    await assert.rejects(archive.open(file, MiB, AbortSignal.abort()), { name: 'AbortError' });
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(server.connections, 0);

    const { signal } = new AbortController();
    server.handle = (_, response) => response.end('hello');
    for (let asked = 0; asked < 5; asked += 1) await readAll(await archive.open(file, MiB, signal));
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual(getEventListeners(signal, 'abort'), []);
  });

  it('gives up a 404 page that does not end', async () => {
    server.handle = (_, response) => {
      const more = setInterval(() => response.write(Buffer.alloc(4096)), 1);
      response.on('close', () => clearInterval(more));
      response.writeHead(404);
    };

    const answer = await get();

    assert.equal(answer, null);
  });

  it('sends both validators back, and reads what a server answers that ignores them', async () => {
    server.handle = (request, response) =>
      request.url?.endsWith('InRelease')
        ? response.setHeader('etag', '"2"').end('new')
        : response.writeHead(404).end();

    const answer = await archive.fetchReleaseSet(
      'dists/a',
      { etag: '"1"', lastModified: 'Thu, 01 Jan 2026 00:00:00 GMT' },
      never,
    );

    assert.equal(server.requests[0]?.headers['if-none-match'], '"1"');
    assert.equal(server.requests[0]?.headers['if-modified-since'], 'Thu, 01 Jan 2026 00:00:00 GMT');
    assert.equal(server.requests[1]?.headers['if-none-match'], undefined);
    assert.ok(answer !== 'unchanged');
    assert.deepEqual(answer.validator, { etag: '"2"', lastModified: null });
  });

  it('takes 304 for unchanged only where it asked a condition', async () => {
    server.handle = (_, response) => void response.writeHead(304).end();

    await assert.rejects(
      archive.fetchReleaseSet('dists/a', null, never),
      refusesWith('ARCHIVE_UNREACHABLE'),
    );
    await assert.rejects(
      archive.fetchReleaseSet('dists/a', { etag: null, lastModified: null }, never),
      refusesWith('ARCHIVE_UNREACHABLE'),
    );
  });

  it('uses a new connection where the archive closed the kept one', async () => {
    const wild = net.createServer((socket) => {
      let answered = false;
      socket.on('error', () => {});
      socket.on('data', () => {
        if (answered) return void socket.resetAndDestroy();
        answered = true;
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      });
    });
    await once(wild.listen(0, '127.0.0.1'), 'listening');
    const kept = createHttpArchive({
      url: `http://127.0.0.1:${(wild.address() as net.AddressInfo).port}`,
      redirectOrigins: [],
      privateNetwork: true,
      limits: LIMITS,
    });

    const first = await readAll(await kept.open(file, 2, never));
    const second = await readAll(await kept.open(file, 2, never));

    assert.equal(String(first) + String(second), 'okok');
    await kept.close();
    wild.close();
  });

  it('reads to its end what is being read when it is closed, and keeps no connection', async () => {
    const { promise: closed, resolve: close } = Promise.withResolvers<void>();
    let socket: net.Socket | undefined;
    server.handle = (request, response) => {
      if (request.url?.endsWith('resting')) return void response.end('rests');
      ({ socket } = request);
      response.write('hel');
      void closed.then(() => response.end('lo'));
    };
    await readAll(await archive.open(parseRepoPath('pool/resting'), 10, never));
    const opened = await archive.open(file, 10, never);
    await archive.open(parseRepoPath('pool/resting'), 10, never).then(readAll);

    await archive.close();
    close();

    assert.equal(String(await readAll(opened)), 'hello');
    if (!socket!.destroyed) await once(socket!, 'close');
  });

  it('keeps no connection of what is asked after it was closed, as a look may', async () => {
    server.handle = (_, response) => response.end('x');
    const ask = async () => String(await readAll(await archive.open(file, 10, never)));
    await archive.close();

    assert.equal((await ask()) + (await ask()), 'xx');

    assert.deepEqual(
      server.requests.map(({ headers }) => headers.connection),
      ['close', 'close'],
    );
    becomeImpatient();
    await ask();
    assert.equal(server.requests.at(-1)!.headers.connection, 'keep-alive', 'before it is closed');
  });

  it('asks once where a new connection is reset instead of an answer', async () => {
    server.handle = (request) => void request.socket.resetAndDestroy();

    await assert.rejects(get(), refusesWith('ARCHIVE_UNREACHABLE'));

    assert.equal(server.requests.length, 1);
  });

  for (const [status, code] of [
    [401, 'ARCHIVE_DENIED'],
    [403, 'ARCHIVE_DENIED'],
    [400, 'ARCHIVE_UNREACHABLE'],
    [206, 'ARCHIVE_UNREACHABLE'],
    [500, 'ARCHIVE_UNREACHABLE'],
    [502, 'ARCHIVE_UNREACHABLE'],
    [429, 'ARCHIVE_THROTTLED'],
    [503, 'ARCHIVE_THROTTLED'],
  ] as const) {
    it(`says ${code} for ${status}, for the Release set, too`, async () => {
      server.handle = (_, response) => void response.writeHead(status).end();

      await assert.rejects(get(), refusesWith(code));
      await assert.rejects(archive.fetchReleaseSet('dists/a', null, never), refusesWith(code));
    });
  }

  it('names the file that was asked for', async () => {
    server.handle = (_, response) => void response.writeHead(500).end();

    await assert.rejects(get(), ({ report }) =>
      report.message.includes(`${server.url}/debian/${file}`),
    );
  });

  it('answers null for 410 as for 404', async () => {
    server.handle = (_, response) => void response.writeHead(410).end();

    const answer = await get();

    assert.equal(answer, null);
  });

  it('takes 204 for an empty file where one is listed, and nowhere else', async () => {
    server.handle = (_, response) => void response.writeHead(204).end();

    const empty = await get(0);

    assert.deepEqual(empty, Buffer.alloc(0));
    await assert.rejects(get(1), refusesWith('ARCHIVE_UNREACHABLE'));
    await assert.rejects(
      archive.fetchReleaseSet('dists/a', null, never),
      refusesWith('ARCHIVE_UNREACHABLE'),
    );
  });

  it('asks without a condition while the file may change within its second', async () => {
    const now = Math.floor(Date.now() / 1000) * 1000;
    const validatorOf = async (date: number, modified: number) => {
      server.handle = (_, response) => {
        response.setHeader('date', new Date(date).toUTCString());
        response.setHeader('last-modified', new Date(modified).toUTCString()).end('x');
      };
      const answer = await archive.fetchReleaseSet('dists/a', null, never);
      return answer === 'unchanged' ? null : answer.validator.lastModified;
    };

    assert.equal(await validatorOf(now, now), null);
    assert.equal(await validatorOf(now + 1000, now), new Date(now).toUTCString());
  });

  it('reads Retry-After as seconds or date, up to the bound', async () => {
    const waits: (number | undefined)[] = [];
    for (const retryAfter of [
      '7',
      new Date(Date.now() + 60_000).toUTCString(),
      '999999999',
      'Thu, 01 Jan 1970 00:00:00 GMT',
      'soon',
    ]) {
      server.handle = (_, response) =>
        void response.writeHead(429, { 'retry-after': retryAfter }).end();
      await get().catch((error: DebgeoError) => waits.push(error.report.retryAfterMs));
    }

    const [seconds, date, far, past, nonsense] = waits;
    assert.equal(seconds, 7000);
    assert.ok(date !== undefined && date > 40_000 && date <= 60_000);
    assert.equal(far, 3_600_000);
    assert.equal(past, 0);
    assert.equal(nonsense, undefined);
  });

  it('says ARCHIVE_UNREACHABLE where no server listens', async () => {
    const gone = await startServer();
    await gone.close();
    archive = createHttpArchive({
      url: gone.url,
      redirectOrigins: [],
      privateNetwork: true,
      limits: LIMITS,
    });

    await assert.rejects(get(), refusesWith('ARCHIVE_UNREACHABLE'));
  });

  it('ends a request that is never answered', async () => {
    becomeImpatient({ answerMs: 300 });
    server.handle = () => {};

    await assert.rejects(get(), refusesWith('ARCHIVE_UNREACHABLE'));
  });

  it('ends a file that stops in the middle', async () => {
    becomeImpatient();
    server.handle = (_, response) =>
      void response.writeHead(200, { 'content-length': 100 }).write('some');

    await assert.rejects(get(), refusesWith('ARCHIVE_UNREACHABLE'));
  });

  it('frees the connection of a file that is never read', async () => {
    becomeImpatient();
    let closed = false;
    server.handle = (_, response) => {
      response.on('close', () => (closed = true));
      response.writeHead(200, { 'content-length': 100 }).write('some');
    };

    const unread = await archive.open(file, 100, never);
    const deadline = Date.now() + 20_000;
    while (!closed && Date.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 20));

    assert.ok(closed);
    await assert.rejects(readAll(unread), refusesWith('ARCHIVE_UNREACHABLE'));
  });

  it('ends a file that drips', async () => {
    becomeImpatient();
    server.handle = (_, response) => {
      const drip = setInterval(() => response.write('x'), 20);
      response.on('close', () => clearInterval(drip));
    };

    await assert.rejects(get(), refusesWith('ARCHIVE_SLOW'));
  });

  it('does not take a slow reader for a slow archive', async () => {
    becomeImpatient();
    server.handle = (_, response) => void response.end(Buffer.alloc(200_000));

    let size = 0;
    for await (const chunk of (await archive.open(file, MiB, never)) ?? []) {
      if (size === 0) await new Promise((resolve) => setTimeout(resolve, IMPATIENT.stallMs * 2));
      size += chunk.length;
    }

    assert.equal(size, 200_000);
  });

  it('ends a Release set that takes longer than it may', async () => {
    becomeImpatient({ fetchMs: 100 });
    server.handle = () => {};

    await assert.rejects(
      archive.fetchReleaseSet('dists/a', null, never),
      refusesWith('ARCHIVE_UNREACHABLE'),
    );
  });

  it('ends a file without end at the bound', async () => {
    server.handle = (_, response) => {
      const more = (): void =>
        void (response.write(Buffer.alloc(65_536))
          ? setImmediate(more)
          : response.once('drain', more));
      response.on('error', () => {});
      more();
    };

    await assert.rejects(get(), refusesWith('LIMIT_EXCEEDED'));
  });

  it('refuses an announced size above the bound before it reads', async () => {
    server.handle = (_, response) =>
      response.writeHead(200, { 'content-length': 2 * MiB }).flushHeaders();

    await assert.rejects(archive.open(file, MiB, never), refusesWith('LIMIT_EXCEEDED'));
  });

  for (const [how, head] of [
    ['an announced size', { 'content-length': '1000' }],
    ['chunks', { 'transfer-encoding': 'chunked' }],
  ] as const) {
    it(`never takes a truncated file with ${how} for a whole one`, async () => {
      server.handle = (_, response) => {
        response.writeHead(200, head).write('some');
        setTimeout(() => response.socket?.end(), 20);
      };

      await assert.rejects(get(), refusesWith('ARCHIVE_UNREACHABLE'));
    });
  }

  it('survives what is not http, before and after the head', async () => {
    for (const bytes of [
      'garbage',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\nmore',
    ]) {
      server.handle = (_, response) => void response.socket?.end(bytes);

      await assert.rejects(get(), refusesWith('ARCHIVE_UNREACHABLE'));
    }
  });

  it('says ARCHIVE_UNREACHABLE for a connection that is reset', async () => {
    server.handle = (_, response) => {
      response.writeHead(200, { 'content-length': 1000 }).write('some');
      setTimeout(() => response.socket?.resetAndDestroy(), 20);
    };

    await assert.rejects(get(), refusesWith('ARCHIVE_UNREACHABLE'));
  });

  it('does not decode what a server encodes unasked', async () => {
    server.handle = (_, response) =>
      void response.setHeader('content-encoding', 'gzip').end('these are the bytes');

    const bytes = await get();

    assert.equal(String(bytes), 'these are the bytes');
  });
});
