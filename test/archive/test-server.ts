/** A server of HTTP or HTTPS that answers as a test says, and keeps what was asked. */
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { TLSSocket } from 'node:tls';

type Handler = (request: http.IncomingMessage, response: http.ServerResponse) => void;

interface Asked {
  readonly url: string;
  readonly headers: http.IncomingHttpHeaders;
  /** Whom the certificate of the client names; null: it showed none. */
  readonly client: string | null;
}

export interface TestServer {
  /** With `localhost` where it has a certificate. */
  readonly url: string;
  readonly port: number;
  readonly requests: Asked[];
  connections: number;
  handle: Handler;
  close(): Promise<void>;
}

export async function startServer(
  host = '127.0.0.1',
  tls: https.ServerOptions | null = null,
): Promise<TestServer> {
  const answer: Handler = (request, response) => {
    const { url = '', headers, socket } = request;
    test.requests.push({ url, headers, client: clientOf(socket) });
    test.handle(request, response);
  };
  const server = tls === null ? http.createServer(answer) : https.createServer(tls, answer);
  server.on('connection', () => (test.connections += 1));
  server.listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const test: TestServer = {
    url: tls === null ? `http://${host}:${port}` : `https://localhost:${port}`,
    port,
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

function clientOf(socket: unknown): string | null {
  if (!(socket instanceof TLSSocket)) return null;
  const name = socket.getPeerCertificate().subject?.CN;
  return typeof name === 'string' ? name : null;
}

/** Answers each connection once, and resets it where it is used again. */
export function answeringOnce(body: string): Handler {
  const used = new WeakSet<object>();
  return (request, response) => {
    if (used.has(request.socket)) return void request.socket.destroy();
    used.add(request.socket);
    response.end(body);
  };
}
