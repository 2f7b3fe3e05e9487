/** A server of HTTP that answers as a test says, and keeps what was asked. */
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

type Handler = (request: http.IncomingMessage, response: http.ServerResponse) => void;

export interface TestServer {
  readonly url: string;
  readonly requests: { url: string; headers: http.IncomingHttpHeaders }[];
  connections: number;
  handle: Handler;
  close(): Promise<void>;
}

export async function startServer(host = '127.0.0.1'): Promise<TestServer> {
  const server = http.createServer((request, response) => {
    test.requests.push({ url: request.url ?? '', headers: request.headers });
    test.handle(request, response);
  });
  server.on('connection', () => (test.connections += 1));
  server.listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const test: TestServer = {
    url: `http://${host}:${port}`,
    requests: [],
    connections: 0,
    handle: (_, response) => response.end(),
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return test;
}
