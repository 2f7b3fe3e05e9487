/**
 * A proxy as companies run them: absolute-form for http (RFC 9112, 3.2.2), CONNECT for https (RFC
 * 9110, 9.3.6). It alone knows where its hosts are: who does not ask it reaches none.
 */
import { once } from 'node:events';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';

export interface HttpProxy {
  readonly port: number;
  /** `GET http://archive.example/…` and `CONNECT archive.example:443`, in order. */
  readonly asked: { readonly line: string; readonly headers: http.IncomingHttpHeaders }[];
  /** Host → port on this machine. */
  readonly hosts: Map<string, number>;
  /** Else 407. */
  authorization: string | null;
  /** CONNECT is never answered, or byte by byte and never to its end, or leads into silence. */
  hangs: 'silent' | 'drips' | 'behind' | null;
  /** Of clients that are open. */
  open(): number;
  close(): Promise<void>;
}

export async function startHttpProxy(): Promise<HttpProxy> {
  const sockets = new Set<net.Socket>();
  const server = http.createServer();
  const proxy: HttpProxy = {
    get port() {
      return (server.address() as AddressInfo).port;
    },
    asked: [],
    hosts: new Map(),
    authorization: null,
    hangs: null,
    open: () => sockets.size,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
  const mayNot = ({ headers }: http.IncomingMessage): boolean =>
    proxy.authorization !== null && headers['proxy-authorization'] !== proxy.authorization;

  server.on('connection', (socket: net.Socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
  });
  server.on('request', (request, response) => {
    proxy.asked.push({ line: `${request.method} ${request.url}`, headers: request.headers });
    if (mayNot(request)) return void response.writeHead(407).end();
    const { hostname, pathname, search } = new URL(request.url!);
    const { 'proxy-authorization': _, 'proxy-connection': __, ...headers } = request.headers;
    const port = proxy.hosts.get(hostname);
    if (port === undefined) return void response.writeHead(502).end();
    http
      .get({ port, host: '127.0.0.1', path: pathname + search, headers }, (answer) => {
        response.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(response);
      })
      .on('error', () => response.destroy());
  });
  server.on('connect', (request: http.IncomingMessage, socket: net.Socket, head: Buffer) => {
    proxy.asked.push({ line: `CONNECT ${request.url}`, headers: request.headers });
    if (proxy.hangs !== null) return hang(socket, proxy.hangs);
    if (mayNot(request))
      return void socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
    const port = proxy.hosts.get(request.url!.split(':')[0]!);
    if (port === undefined) return void socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
    const upstream = net.connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      upstream.write(head);
      socket.pipe(upstream).pipe(socket);
    });
    upstream.on('error', () => socket.destroy()).on('close', () => socket.destroy());
    socket.on('close', () => upstream.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return proxy;
}

function hang(socket: net.Socket, how: 'silent' | 'drips' | 'behind'): void {
  socket.resume().on('end', () => socket.destroy());
  if (how !== 'silent') socket.write('HTTP/1.1 200 Connection established\r\n');
  if (how === 'behind') socket.write('\r\n');
  if (how !== 'drips') return;
  const drip = setInterval(() => socket.write('a'), 50);
  socket.on('close', () => clearInterval(drip));
}
