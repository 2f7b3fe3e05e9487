/**
 * A way to a gRPC server as a load balancer is one: it speaks HTTP/2 with both sides, and so
 * answers the pings of the server by itself, whatever its clients do.
 */
import { once } from 'node:events';
import http2, { type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';

export interface GrpcProxy {
  readonly address: string;
  close(): Promise<void>;
}

/** @param target HOST:PORT, without TLS */
export async function startGrpcProxy(target: string): Promise<GrpcProxy> {
  const behind = http2.connect(`http://${target}`);
  behind.on('error', () => undefined); // each stream says so, too
  const sessions = new Set<http2.ServerHttp2Session>();
  const server = http2.createServer();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
  });
  server.on('stream', (near, headers) => forward(near, behind, headers));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      for (const session of sessions) session.destroy();
      behind.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

function forward(
  near: ServerHttp2Stream,
  behind: http2.ClientHttp2Session,
  headers: IncomingHttpHeaders,
): void {
  const far = behind.request(headers);
  let trailers: IncomingHttpHeaders = {};
  near.on('error', () => far.close());
  near.on('close', () => far.close());
  far.on('error', () => near.close(http2.constants.NGHTTP2_INTERNAL_ERROR));
  far.on('response', (answer, flags) => {
    // gRPC says an error with headers alone
    const endStream = (flags & http2.constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    near.respond(answer, endStream ? { endStream } : { waitForTrailers: true });
    if (!endStream) far.pipe(near);
  });
  far.on('trailers', (found) => (trailers = found));
  near.on('wantTrailers', () => near.sendTrailers(trailers));
  near.pipe(far);
}
