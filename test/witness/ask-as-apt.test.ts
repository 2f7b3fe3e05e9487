import assert from 'node:assert/strict';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { test } from 'node:test';

import { weigh } from '../../src/witness/ask-as-apt.ts';

const ANSWER = 'HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok';

/** Answers one request on each connection and resets it at the next; @param answered at first */
async function serve(answered: number): Promise<{ server: Server; url: string; asked: number[] }> {
  const asked: number[] = [];
  const answer = (socket: Socket): void => {
    const connection = asked.push(0) - 1;
    socket.on('error', () => {});
    socket.on('data', () => {
      asked[connection]! += 1;
      if (asked[connection]! > 1 || connection >= answered) socket.resetAndDestroy();
      else socket.write(ANSWER);
    });
  };
  const server = createServer(answer).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

test('a kept connection that the server closed is opened anew, as apt does', async () => {
  const { server, url, asked } = await serve(2);

  assert.equal((await weigh(url, 'one')).status, 200);
  assert.equal((await weigh(url, 'two')).status, 200);

  assert.deepEqual(asked, [2, 1]);
  server.close();
});

test('a server that closes new connections, too, does not answer', async () => {
  const { server, url, asked } = await serve(1);

  assert.equal((await weigh(url, 'one')).status, 200);
  await assert.rejects(weigh(url, 'two'), { code: 'ECONNRESET' });

  assert.deepEqual(asked, [2, 1]);
  server.close();
});
