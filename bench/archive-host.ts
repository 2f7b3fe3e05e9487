/**
 * The process that serves the corpora over HTTP on 127.0.0.1 to every contender: files, conditional
 * requests, and listings as rclone reads them. It counts requests. A corpus is a folder `archive`
 * and folders `next-1`, `next-2`, … with the files that each later release changes: to release is
 * to serve one more of them.
 *
 * Forked by archive.ts, which speaks to it over the IPC channel; it ends when the channel closes.
 */
import { createReadStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join, normalize } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export type ControlMessage = { readonly id: number } & (
  | {
      readonly serve: { readonly name: string; readonly folder: string; readonly trickle: boolean };
    }
  | { readonly release: { readonly name: string; readonly number: number } }
  | { readonly count: 'reset' }
);
export type ControlReply =
  | { readonly port: number }
  | { readonly id: number; readonly requests: number };

/** Files up to this size are read whole, larger ones are streamed. */
const WHOLE_BYTES = 1024 * 1024;
/** How an archive trickles: twice as fast as what debgeo refuses as too slow. */
const TRICKLE = { bytes: 1024, everyMs: 500 };

interface Corpus {
  readonly folder: string;
  /** Whether its pool comes slowly. */
  readonly trickle: boolean;
  /** How many releases after the first one are served. */
  released: number;
}

const corpora = new Map<string, Corpus>();
let requests = 0;

process.on('message', (message: ControlMessage) => {
  const counted = requests;
  if ('serve' in message) corpora.set(message.serve.name, { ...message.serve, released: 0 });
  else if ('release' in message)
    corpora.get(message.release.name)!.released = message.release.number;
  else requests = 0;
  process.send!({ id: message.id, requests: counted } satisfies ControlReply);
});
process.once('disconnect', () => process.exit());

const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  requests += 1;
  answer(request, response).catch(() => response.destroy());
});
server.listen(0, '127.0.0.1', () =>
  process.send!({ port: (server.address() as { port: number }).port } satisfies ControlReply),
);

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = normalize(decodeURIComponent((request.url ?? '/').replace(/\?.*$/, '')));
  const [, name = '', ...rest] = path.split('/');
  const corpus = corpora.get(name);
  if (corpus === undefined || rest.includes('..')) return end(response, 404);
  if (path.endsWith('/')) return list(corpus, rest.join('/'), response);

  for (const folder of layers(corpus)) {
    const file = join(folder, ...rest);
    const found = await stat(file).catch(() => null);
    if (found?.isDirectory()) {
      response.setHeader('Location', `${path}/`);
      return end(response, 301);
    }
    if (found?.isFile() && corpus.trickle && rest[0] === 'pool')
      return trickle(file, found.size, response);
    if (found?.isFile()) return send(file, found.size, found.mtime, request, response);
  }
  return end(response, 404);
}

/** The newest release first. */
const layers = ({ folder, released }: Corpus): string[] => [
  ...Array.from({ length: released }, (_, index) => join(folder, `next-${released - index}`)),
  join(folder, 'archive'),
];

async function send(
  file: string,
  size: number,
  modified: Date,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const etag = `"${size.toString(16)}-${modified.getTime().toString(16)}"`;
  const isSame =
    request.headers['if-none-match'] === etag ||
    (request.headers['if-none-match'] === undefined &&
      Date.parse(request.headers['if-modified-since'] ?? '') >= modified.getTime());
  response.setHeader('ETag', etag);
  response.setHeader('Last-Modified', modified.toUTCString());
  if (isSame) return end(response, 304);
  response.setHeader('Content-Type', 'application/octet-stream');
  response.setHeader('Content-Length', size);
  if (request.method === 'HEAD') return end(response, 200);
  if (size <= WHOLE_BYTES) response.end(await readFile(file));
  else createReadStream(file, { highWaterMark: 256 * 1024 }).pipe(response);
}

async function trickle(file: string, size: number, response: ServerResponse): Promise<void> {
  response.setHeader('Content-Length', size);
  for await (const bytes of createReadStream(file, { highWaterMark: TRICKLE.bytes })) {
    if (response.closed) return;
    response.write(bytes);
    await sleep(TRICKLE.everyMs);
  }
  response.end();
}

async function list(corpus: Corpus, path: string, response: ServerResponse): Promise<void> {
  const names = new Set<string>();
  for (const folder of layers(corpus)) {
    const entries = await readdir(join(folder, path), { withFileTypes: true }).catch(() => []);
    for (const entry of entries) names.add(entry.isDirectory() ? `${entry.name}/` : entry.name);
  }
  if (names.size === 0) return end(response, 404);
  response.setHeader('Content-Type', 'text/html');
  const links = [...names].map((name) => `<a href="${encodeURI(name)}">${name}</a>\n`);
  response.end(`<html><body>\n${links.join('')}</body></html>\n`);
}

function end(response: ServerResponse, status: number): void {
  response.statusCode = status;
  response.end();
}
