/** Who answers 101 to what nobody asked is refused at once, wherever debgeo dials. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import test, { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { StorageSharedKeyCredential } from '@azure/storage-blob';

import { createHttpArchive } from '../../src/archive/http-archive.ts';
import type { DebgeoError } from '../../src/domain/errors.ts';
import { parseRepoPath } from '../../src/domain/repo-path.ts';
import { createAzureSiteStore } from '../../src/site/azure-site-store.ts';
import { readPublic } from '../../src/site/read-public.ts';

const path = parseRepoPath('pool/hello.deb');
/** A call that would not end is seen, and ends no test run. */
const SOON_MS = 5_000;

let server: net.Server;
let sockets: Set<net.Socket>;
let url: string;

before(async () => {
  sockets = new Set();
  server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    socket.on('data', () =>
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => {
  for (const socket of sockets) socket.destroy();
  server.close();
});

const codeOf = (call: Promise<unknown>): Promise<string> =>
  Promise.race([
    call.then(
      () => 'answered',
      (error: DebgeoError) => error.code,
    ),
    sleep(SOON_MS, 'no end', { ref: false }),
  ]);

const calls = {
  archive: (signal: AbortSignal) =>
    createHttpArchive({ url, redirectOrigins: [], privateNetwork: true }).open(path, 100, signal),
  'public URL': (signal: AbortSignal) => readPublic(url, path, 100, signal),
  site: (signal: AbortSignal) =>
    createAzureSiteStore(
      { name: 'fra', accountUrl: `${url}/account`, container: 'apt', prefix: '' },
      new StorageSharedKeyCredential('account', 'a2V5'),
    ).open(path, signal),
};

for (const [who, ask] of Object.entries(calls))
  test(`101 of the ${who} is an error, and leaves no connection`, async () => {
    const code = await codeOf(ask(new AbortController().signal));

    assert.equal(code, who === 'archive' ? 'ARCHIVE_UNREACHABLE' : 'SITE_UNREACHABLE');
    for (let waited = 0; sockets.size > 0 && waited < SOON_MS; waited += 20) await sleep(20);
    assert.equal(sockets.size, 0);
  });

test('it would be seen: Node says nothing of 101, and destroys in vain', async () => {
  const request = http.get(url);
  const said: string[] = [];
  for (const event of ['error', 'response']) request.on(event, () => said.push(event));

  await once(request, 'close');
  request.destroy(new Error('no answer in time'));
  await sleep(50);

  assert.deepEqual(said, []);
});
