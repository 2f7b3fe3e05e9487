/**
 * A proxy in front of a site that counts its requests, or ends TLS for it. As a module it starts
 * itself as a process; as a program (`node counting-proxy.ts PLAN`, JSON) it is the proxy and
 * answers over its IPC channel.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { fileURLToPath } from 'node:url';

export interface SiteCounts {
  readonly all: number;
  readonly poolPuts: number;
  readonly poolGets: number;
}

export interface CountingProxy {
  /** Of the account, as the SDK takes it. */
  readonly url: string;
  countsSinceLastCall(): Promise<SiteCounts>;
  close(): Promise<void>;
}

const SELF = fileURLToPath(import.meta.url);

interface ProxyPlan {
  readonly origin: string;
  readonly tls?: TlsFace;
}

export interface TlsFace {
  /** PEM. */
  readonly key: string;
  readonly certificate: string;
  /** The Host header that the target sees. */
  readonly host: string;
}

export async function startCountingProxy(
  accountUrl: string,
  tls?: TlsFace,
): Promise<CountingProxy> {
  const target = new URL(accountUrl);
  const plan: ProxyPlan = { origin: target.origin, ...(tls === undefined ? {} : { tls }) };
  const child = fork(SELF, [JSON.stringify(plan)], { execArgv: [] });
  const [port] = (await once(child, 'message')) as [number];
  return {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}${target.pathname}`,
    async countsSinceLastCall() {
      child.send('counts');
      const [counts] = (await once(child, 'message')) as [SiteCounts];
      return counts;
    },
    async close() {
      const gone = once(child, 'exit');
      child.disconnect();
      await gone;
    },
  };
}

function serve({ origin, tls }: ProxyPlan): void {
  const target = new URL(origin);
  const agent = new http.Agent({ keepAlive: true });
  let counts = { all: 0, poolPuts: 0, poolGets: 0 };
  const answer = (request: http.IncomingMessage, response: http.ServerResponse): void => {
    counts.all += 1;
    if (request.url?.includes('/pool/')) {
      if (request.method === 'PUT') counts.poolPuts += 1;
      if (request.method === 'GET') counts.poolGets += 1;
    }
    const { method, url: path } = request;
    const headers = tls === undefined ? request.headers : { ...request.headers, host: tls.host };
    const onward = http.request(
      { host: target.hostname, port: target.port, method, path, headers, agent },
      (found) => {
        response.writeHead(found.statusCode ?? 502, found.rawHeaders);
        found.pipe(response);
      },
    );
    onward.once('error', () => response.destroy());
    request.pipe(onward);
  };
  const kept = { keepAliveTimeout: 60_000 };
  const server =
    tls === undefined
      ? http.createServer(kept, answer)
      : https.createServer({ ...kept, key: tls.key, cert: tls.certificate }, answer);
  server.listen(0, '127.0.0.1', () => process.send!((server.address() as { port: number }).port));
  process.on('message', () => {
    process.send!(counts);
    counts = { all: 0, poolPuts: 0, poolGets: 0 };
  });
  process.once('disconnect', () => process.exit());
}

if (process.argv[1] === SELF) serve(JSON.parse(process.argv[2]!) as ProxyPlan);
