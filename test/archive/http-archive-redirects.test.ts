import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';

import type { Archive } from '../../src/archive/archive.ts';
import { createHttpArchive } from '../../src/archive/http-archive.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import { parseRepoPath } from '../../src/domain/repo-path.ts';
import { refusesWith } from '../support/refuses-with.ts';
import { never, readAll } from './archive-contract.ts';
import { startServer, type TestServer } from './test-server.ts';

describe('an archive behind http that redirects', () => {
  let server: TestServer;
  let other: TestServer;
  let archive: Archive;
  const get = async () =>
    readAll(await archive.open(parseRepoPath('pool/hello.deb'), 1024 * 1024, never));

  before(async () => {
    server = await startServer();
    other = await startServer();
  });
  beforeEach(async () => {
    await archive?.close();
    archive = createHttpArchive({
      url: `${server.url}/debian`,
      redirectOrigins: [],
      privateNetwork: true,
    });
    server.requests.length = other.requests.length = 0;
  });
  after(async () => {
    await archive.close();
    await server.close();
    await other.close();
  });

  for (const status of [301, 302, 303, 307, 308]) {
    it(`follows ${status} within the origin`, async () => {
      server.handle = (request, response) =>
        request.url === '/debian/pool/hello.deb'
          ? response.writeHead(status, { location: '../elsewhere?x=1' }).end()
          : response.end('here');

      const bytes = await get();

      assert.equal(String(bytes), 'here');
      assert.equal(server.requests[1]?.url, '/debian/elsewhere?x=1');
    });
  }

  it('follows a redirect to an allowed origin, and back', async () => {
    archive = createHttpArchive({
      url: server.url,
      redirectOrigins: [other.url],
      privateNetwork: true,
    });
    server.handle = (request, response) =>
      request.url === '/back'
        ? response.end('back')
        : response.writeHead(302, { location: `${other.url}/there` }).end();
    other.handle = (_, response) =>
      void response.writeHead(302, { location: `${server.url}/back` }).end();

    const bytes = await get();

    assert.equal(String(bytes), 'back');
  });

  for (const [what, location] of [
    ['another origin', () => `${other.url}/debian/pool/hello.deb`],
    ['another scheme of the same host', () => server.url.replace('http:', 'https:')],
    ['the metadata service of a cloud', () => 'http://169.254.169.254/metadata'],
    ['a file', () => 'file:///etc/passwd'],
    ['credentials', () => server.url.replace('http://', 'http://user:secret@')],
    ['no URL', () => 'http://['],
  ] as const) {
    it(`refuses a redirect to ${what}, and asks nothing there`, async () => {
      server.handle = (_, response) => void response.writeHead(302, { location: location() }).end();

      await assert.rejects(get(), refusesWith('ARCHIVE_REDIRECT'));
      assert.equal(server.requests.length, 1);
      assert.equal(other.requests.length, 0);
    });
  }

  it('refuses a redirect without a place and one that never ends', async () => {
    server.handle = (_, response) => void response.writeHead(302).end();
    await assert.rejects(get(), refusesWith('ARCHIVE_REDIRECT'));

    server.handle = (request, response) =>
      void response.writeHead(302, { location: `${request.url}x` }).end();
    await assert.rejects(get(), refusesWith('ARCHIVE_REDIRECT'));

    assert.equal(server.requests.length, 1 + 4);
  });

  it('keeps secrets of a redirect out of its report', async () => {
    server.handle = (_, response) =>
      void response
        .writeHead(302, { location: 'https://user:secret@cdn.example/x?sig=secret' })
        .end();

    const error = await get().then(
      () => null,
      (thrown: DebgeoError) => thrown,
    );

    assert.ok(error instanceof DebgeoError && !JSON.stringify(error.report).includes('secret'));
  });

  for (const url of [
    'ftp://example.org/debian',
    'debian',
    'http://user:secret@example.org',
    'https://example.org/?sig=1',
    'https://example.org/#a',
  ]) {
    it(`refuses ${url} as an archive`, () => {
      assert.throws(
        () => createHttpArchive({ url, redirectOrigins: [], privateNetwork: true }),
        (error) =>
          refusesWith('CONFIG_INVALID')(error) && !JSON.stringify(error.report).includes('secret'),
      );
    });
  }
});
