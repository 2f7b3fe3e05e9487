/**
 * An HTTP proxy in front of a site or an archive that misbehaves as told, and keeps a list of the
 * requests that it saw. It is the witness of tests, so it imports nothing of the program that it
 * watches.
 *
 * In the process of a test: `await startFaultProxy(target)`. As a child of its own: `await
 * spawnFaultProxy(target)`, or by hand
 *   node test/support/fault-proxy.ts --target http://127.0.0.1:10000
 * which prints {"port":…,"control":…} and takes PUT /rules, PUT /refuse, GET /requests, DELETE
 * /requests on the control port until stdin ends.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { exitOf } from './child.ts';

export type Fault =
  /** Accepts the request and never answers; nothing is forwarded. */
  | { kind: 'hang' }
  /** Cuts the connection; nothing is forwarded. */
  | { kind: 'cut' }
  /** Answers itself; nothing is forwarded. */
  | { kind: 'answer'; status: number; headers?: Record<string, string>; body?: string }
  /** Forwards after this long. */
  | { kind: 'delay'; ms: number }
  /** Forwards and lets the target do it, then cuts the connection instead of answering. */
  | { kind: 'drop' }
  /** Forwards so many bytes of the answer's body, then cuts the connection. */
  | { kind: 'truncate'; bytes: number }
  /** Forwards so many bytes of the answer's body, then is silent. */
  | { kind: 'stall'; bytes: number }
  /** Forwards with one bit changed, in the body of the request or of the answer. */
  | { kind: 'flip'; in: 'request' | 'answer' }
  /** Forwards both bodies at this rate. */
  | { kind: 'rate'; bytesPerSecond: number };

export interface Rule {
  fault: Fault;
  /** Upper case; absent: any. */
  method?: string;
  /** A regular expression on path and query as sent; absent: any. */
  target?: string;
  /** The first so many matching requests are let through. */
  skip?: number;
  /** Then so many are hit; absent: all. */
  times?: number;
}

export interface SeenRequest {
  method: string;
  path: string;
  /** With its question mark, or empty. */
  query: string;
  /** What the target answered; null if it was not asked or has not answered yet. */
  done: number | null;
  /** What the client was told; null if nothing. */
  status: number | null;
  fault: Fault['kind'] | null;
}

export interface FaultProxy {
  /** http://127.0.0.1:PORT, for the target's origin. */
  readonly origin: string;
  /** Replaces all rules; the first one that hits a request decides. */
  setRules(rules: Rule[]): Promise<void>;
  /** Connections are refused, and open ones cut, until `refuse(false)`. */
  refuse(on: boolean): Promise<void>;
  /** In order of arrival. */
  requests(): Promise<SeenRequest[]>;
  clear(): Promise<void>;
  close(): Promise<void>;
}

export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const base = new URL(target);
  const agent =
    base.protocol === 'https:'
      ? new https.Agent({ keepAlive: true })
      : new http.Agent({ keepAlive: true });
  let rules: (Rule & { seen: number })[] = [];
  let seen: SeenRequest[] = [];

  const server = http.createServer((request, response) => {
    const url = request.url ?? '/';
    const mark = url.indexOf('?');
    const fault = hit(rules, request.method ?? '', url);
    const entry: SeenRequest = {
      method: request.method ?? '',
      path: mark < 0 ? url : url.slice(0, mark),
      query: mark < 0 ? '' : url.slice(mark),
      done: null,
      status: null,
      fault: fault?.kind ?? null,
    };
    seen.push(entry);
    serve(base, agent, request, response, fault, entry).catch(() => void request.socket?.destroy());
  });
  await listen(server, 0);
  const { port } = server.address() as AddressInfo;

  const stop = async () => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  };
  return {
    origin: `http://127.0.0.1:${port}`,
    setRules: async (next) => {
      rules = next.map((rule) => ({ ...rule, seen: 0 }));
    },
    refuse: async (on) => {
      if (on) await stop();
      else if (!server.listening) await listen(server, port);
    },
    requests: async () => structuredClone(seen),
    clear: async () => {
      seen = [];
    },
    close: async () => {
      await stop();
      agent.destroy();
    },
  };
}

/** The same as a process of its own, which ends with the one that started it. */
export async function spawnFaultProxy(target: string): Promise<FaultProxy> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), '--target', target], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const { port, control } = JSON.parse(line.toString()) as { port: number; control: number };

  const tell = async (method: string, path: string, content?: unknown): Promise<unknown> => {
    const body = content === undefined ? null : JSON.stringify(content);
    const answer = await fetch(`http://127.0.0.1:${control}${path}`, { method, body });
    return answer.status === 200 ? await answer.json() : null;
  };
  return {
    origin: `http://127.0.0.1:${port}`,
    setRules: async (rules) => void (await tell('PUT', '/rules', rules)),
    refuse: async (on) => void (await tell('PUT', '/refuse', on)),
    requests: async () => (await tell('GET', '/requests')) as SeenRequest[],
    clear: async () => void (await tell('DELETE', '/requests')),
    close: async () => {
      child.stdin.end();
      await exitOf(child);
    },
  };
}

function hit(rules: (Rule & { seen: number })[], method: string, url: string): Fault | null {
  for (const rule of rules) {
    if (rule.method !== undefined && rule.method !== method) continue;
    if (rule.target !== undefined && !new RegExp(rule.target).test(url)) continue;
    const nth = rule.seen++;
    const first = rule.skip ?? 0;
    if (nth >= first && nth < first + (rule.times ?? Infinity)) return rule.fault;
  }
  return null;
}

async function serve(
  base: URL,
  agent: http.Agent,
  request: http.IncomingMessage,
  response: http.ServerResponse,
  fault: Fault | null,
  entry: SeenRequest,
): Promise<void> {
  if (fault?.kind === 'cut') return void request.socket.destroy();
  if (fault?.kind === 'hang') return void request.resume();
  if (fault?.kind === 'answer') {
    request.resume();
    entry.status = fault.status;
    response.writeHead(fault.status, fault.headers ?? {}).end(fault.body ?? '');
    return;
  }
  if (fault?.kind === 'delay') await wait(fault.ms);

  const answer = await forward(base, agent, request, response, fault);
  entry.done = answer.statusCode ?? null;
  if (fault?.kind === 'drop') {
    for await (const _ of answer);
    return void request.socket.destroy();
  }
  response.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
  response.flushHeaders();
  entry.status = answer.statusCode ?? null;
  await pipeline(answer, (body: AsyncIterable<Buffer>) => spoil(body, fault, response), response);
}

/**
 * Resolves with the target's answer. The Host header becomes the target's; a shared-key signature
 * does not cover it.
 */
function forward(
  base: URL,
  agent: http.Agent,
  request: http.IncomingMessage,
  response: http.ServerResponse,
  fault: Fault | null,
): Promise<http.IncomingMessage> {
  const send = base.protocol === 'https:' ? https.request : http.request;
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  const onward = send(
    {
      host: base.hostname,
      port: base.port,
      method: request.method,
      path: request.url,
      headers: { ...request.headers, host: base.host },
      agent,
    },
    resolve,
  );
  onward.on('error', reject);
  response.once('close', () => onward.destroy());
  pipeline(request, (body: AsyncIterable<Buffer>) => spoilUpload(body, fault), onward).catch(
    reject,
  );
  return promise;
}

function spoilUpload(body: AsyncIterable<Buffer>, fault: Fault | null): AsyncIterable<Buffer> {
  if (fault?.kind === 'rate') return paced(body, fault.bytesPerSecond);
  return fault?.kind === 'flip' && fault.in === 'request' ? flipped(body) : body;
}

async function* spoil(
  body: AsyncIterable<Buffer>,
  fault: Fault | null,
  response: http.ServerResponse,
): AsyncGenerator<Buffer> {
  if (fault?.kind === 'rate') return yield* paced(body, fault.bytesPerSecond);
  if (fault?.kind === 'flip' && fault.in === 'answer') return yield* flipped(body);
  if (fault?.kind !== 'truncate' && fault?.kind !== 'stall') return yield* body;

  let left = fault.bytes;
  for await (const chunk of body) {
    if (left > 0) yield chunk.subarray(0, left);
    left -= chunk.length;
    if (left > 0) continue;
    // What was yielded is on its way to the socket: end() sends it out first, destroy() would throw
    // it away.
    if (fault.kind === 'truncate') response.socket?.end();
    await once(response, 'close');
    return;
  }
}

async function* flipped(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let done = false;
  for await (const chunk of body) {
    yield done ? chunk : Buffer.from(chunk).fill(chunk[0]! ^ 1, 0, 1);
    done = true;
  }
}

async function* paced(body: AsyncIterable<Buffer>, bytesPerSecond: number): AsyncGenerator<Buffer> {
  const step = Math.max(1, Math.ceil(bytesPerSecond / 20));
  for await (const chunk of body) {
    for (let at = 0; at < chunk.length; at += step) {
      yield chunk.subarray(at, at + step);
      await wait(50);
    }
  }
}

async function listen(server: http.Server, port: number): Promise<void> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { target: { type: 'string' } } });
  if (values.target === undefined) throw new Error('--target http://HOST:PORT is missing');
  const proxy = await startFaultProxy(values.target);

  const control = http.createServer((request, response) => {
    const say = (content: unknown) => response.end(JSON.stringify(content ?? null));
    const fail = (error: unknown) => response.writeHead(400).end(String(error));
    obey(proxy, request).then(say, fail);
  });
  await listen(control, 0);
  console.log(
    JSON.stringify({
      port: Number(new URL(proxy.origin).port),
      control: (control.address() as AddressInfo).port,
    }),
  );
  process.stdin.on('end', () => process.exit()).resume();
}

async function obey(proxy: FaultProxy, request: http.IncomingMessage): Promise<unknown> {
  switch (`${request.method} ${request.url}`) {
    case 'PUT /rules':
      return proxy.setRules((await json(request)) as Rule[]);
    case 'PUT /refuse':
      return proxy.refuse((await json(request)) as boolean);
    case 'GET /requests':
      return proxy.requests();
    case 'DELETE /requests':
      return proxy.clear();
    default:
      throw new Error('no such command');
  }
}

if (import.meta.main) await main();
