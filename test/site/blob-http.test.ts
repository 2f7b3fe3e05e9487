import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { getEventListeners } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Checksum } from '../../src/domain/checksum.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { parseRepoPath } from '../../src/domain/repo-path.ts';
import { sha256Of } from '../../src/domain/sha256.ts';
import { createAzureSiteStore } from '../../src/site/azure-site-store.ts';
import { BlobHttp, Refused } from '../../src/site/blob-http.ts';
import { Pace } from '../../src/site/pace.ts';
import { refusesWith } from '../support/refuses-with.ts';
import { startAzuriteSite, type AzuriteSite } from './azurite-site.ts';
import { contentOf } from './store-under-test.ts';

const NEVER = new AbortController().signal;
const NAMES = [
  'debian/pool/main/g/g++-12/libstdc++6_12.2.0-14+deb12u1_amd64.deb',
  'debian/pool/main/h/hello/hello_1:2.10~rc1_amd64.deb',
  "debian/pool/o/o'neil/(a)!*_1.deb",
  'debian/pool/p/percent/100%25_1.deb',
  'debian/pool/s/space/two words.deb',
  'debian/pool/ü/ünïcode_1.deb',
  'debian/pool/q/query?a=b&c#d_1.deb',
];

describe('BlobHttp', () => {
  let site: AzuriteSite;
  const agent = new http.Agent();
  before(async () => {
    site = await startAzuriteSite();
  });
  after(async () => {
    agent.destroy();
    await site.stop();
  });

  for (const name of NAMES) {
    it(`names and signs ${name} as the SDK does`, async () => {
      const container = await site.container();
      const direct = new BlobHttp(container.url, site.credential, agent);
      const target = direct.targetOf(name)!;
      const bytes = randomBytes(100);
      const headers = {
        'content-length': '100',
        'content-type': 'application/octet-stream',
        'x-ms-blob-type': 'BlockBlob',
      };

      (await direct.send('PUT', target, headers, bytes, NEVER)).resume();
      const answer = await direct.send('GET', target, {}, null, NEVER);

      assert.equal(
        decodeURIComponent(target),
        decodeURIComponent(new URL(container.getBlobClient(name).url).pathname),
      );
      assert.deepEqual(
        Buffer.concat(await Array.fromAsync(answer as AsyncIterable<Buffer>)),
        bytes,
      );
      assert.deepEqual(await container.getBlobClient(name).downloadToBuffer(), bytes);
    });
  }

  it('signs an empty body', async () => {
    const container = await site.container();
    const direct = new BlobHttp(container.url, site.credential, agent);
    const headers = {
      'content-length': '0',
      'content-type': 'application/octet-stream',
      'x-ms-blob-type': 'BlockBlob',
      'if-none-match': '*',
    };

    (await direct.send('PUT', direct.targetOf('empty')!, headers, Buffer.alloc(0), NEVER)).resume();

    await assert.rejects(
      direct.send('PUT', direct.targetOf('empty')!, headers, Buffer.alloc(0), NEVER),
      Refused,
    );
  });

  it(
    'leaves no connection behind to a server that never ends its answers',
    { timeout: 20_000 },
    async (t) => {
      let status = 201;
      let open = 0;
      const server = http.createServer((request, answer) => {
        request.resume();
        answer.writeHead(status, { 'content-length': '10' }).write('half');
      });
      server.on('connection', (socket) => {
        open += 1;
        socket.once('close', () => (open -= 1));
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      t.after(() => {
        server.closeAllConnections();
        server.close();
      });
      const accountUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/a`;
      const limits = { ...LIMITS, stallMs: 200 };
      const store = createAzureSiteStore(
        { name: 'fra', accountUrl, container: 'c', prefix: '' },
        site.credential,
        limits,
      );
      const path = parseRepoPath('debian/pool/a');

      for (status of [201, 412, 403])
        await store.put(path, contentOf(randomBytes(100)), 'nothing', NEVER).catch(() => undefined);
      status = 200; // without ETag
      await assert.rejects(store.checksum(path, NEVER), refusesWith('SITE_UNREACHABLE'));

      const deadline = Date.now() + 5_000;
      while (open > 0 && Date.now() < deadline) await sleep(20);
      assert.equal(open, 0);
    },
  );

  it(
    'takes no half blob for a whole one when it ends under a byte rate, and keeps no listener',
    { timeout: 20_000 },
    async (t) => {
      const bytes = randomBytes(60_000);
      const server = http.createServer((_, answer) => {
        const head = {
          'content-length': bytes.length,
          etag: '"1"',
          'last-modified': new Date().toUTCString(),
        };
        answer.writeHead(200, head).write(bytes.subarray(0, 30_000));
        setTimeout(() => answer.end(bytes.subarray(30_000)), 20);
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      t.after(() => {
        server.closeAllConnections();
        server.close();
      });
      const accountUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/a`;
      const pace = new Pace(LIMITS);
      const store = createAzureSiteStore(
        { name: 'fra', accountUrl, container: 'c', prefix: '' },
        site.credential,
        LIMITS,
        { pace },
      );
      const path = parseRepoPath('debian/pool/a');
      const asking = new AbortController();

      assert.equal(
        ((await store.checksum(path, asking.signal)) as Checksum).sha256,
        sha256Of(bytes),
      );
      await sleep(20);
      assert.deepEqual(getEventListeners(asking.signal, 'abort'), []);

      pace.limitTo(1_000);
      setTimeout(() => asking.abort(new Error('left')), 200);
      await assert.rejects(store.checksum(path, asking.signal), { message: 'left' });
    },
  );

  it('has no target for what is not one blob below the container', () => {
    const direct = new BlobHttp('https://a.blob.core.windows.net/c', site.credential, agent);

    for (const name of [
      '',
      '/',
      'a//b',
      '../c2/a',
      'a/../../c2/b',
      'a/./b',
      'a/',
      '/a',
      'a/\ud800',
      '..\\b',
      'a\nb',
    ])
      assert.equal(direct.targetOf(name), null, name);
  });
});
