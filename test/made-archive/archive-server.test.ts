import assert from 'node:assert/strict';
import { get } from 'node:http';
import { test } from 'node:test';

import { packagesOf, serveArchive } from '../support/served-archive.ts';

const IN_RELEASE = '/dists/stable/InRelease';

test('an unchanged file is answered with 304, by either validator', async (t) => {
  const served = await serveArchive();
  t.after(() => served.close());
  await served.archive.release(packagesOf('1.0'));
  const url = served.server.url + IN_RELEASE;
  const first = await fetch(url);
  const etag = first.headers.get('etag') ?? '';
  const lastModified = first.headers.get('last-modified') ?? '';

  const byTag = await fetch(url, { headers: { 'If-None-Match': etag } });
  const byTime = await fetch(url, { headers: { 'If-Modified-Since': lastModified } });
  await served.archive.release(packagesOf('1.1'));
  const afterTag = await fetch(url, { headers: { 'If-None-Match': etag } });
  const afterTime = await fetch(url, { headers: { 'If-Modified-Since': lastModified } });

  assert.deepEqual(
    [byTag.status, byTime.status, afterTag.status, afterTime.status],
    [304, 304, 200, 200],
  );
});

test('HEAD is answered with size and validators, and Range is ignored', async (t) => {
  const served = await serveArchive();
  t.after(() => served.close());
  await served.archive.release(packagesOf('1.0'));
  const url = served.server.url + IN_RELEASE;

  const head = await fetch(url, { method: 'HEAD' });
  const range = await fetch(url, { headers: { Range: 'bytes=1-2' } });

  const { length } = new Uint8Array(await range.arrayBuffer());
  assert.equal(range.status, 200);
  assert.equal(Number(head.headers.get('content-length')), length);
  assert.equal(head.headers.get('etag'), range.headers.get('etag'));
});

test('nothing outside the folder is served', async (t) => {
  const served = await serveArchive();
  t.after(() => served.close());
  const statusOf = (path: string) =>
    new Promise<number | undefined>((resolve, reject) => {
      get({ host: '127.0.0.1', port: served.server.port, path }, (response) =>
        resolve(response.resume().statusCode),
      ).on('error', reject);
    });

  const statuses = await Promise.all(
    [
      '/../../../../etc/hostname',
      '/%2e%2e/%2e%2e/%2e%2e/etc/hostname',
      '/dists',
      '/%00',
      '/%zz',
    ].map(statusOf),
  );

  assert.deepEqual(statuses, [404, 404, 404, 404, 404]);
});

test('requests are counted by path, and a refused connection is not', async (t) => {
  const served = await serveArchive();
  t.after(() => served.close());
  const url = served.server.url + IN_RELEASE;

  await fetch(url);
  await served.server.refuse();
  await assert.rejects(fetch(url));
  await served.server.accept();
  await fetch(url);

  assert.equal(served.server.requests.get(IN_RELEASE), 2);
  assert.equal(served.server.requestCount(), 2);
});
