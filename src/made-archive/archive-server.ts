/** Serves the folder of an archive over HTTP on 127.0.0.1, and refuses connections when told to. */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { join, normalize } from 'node:path';

export interface ArchiveServer {
  readonly url: string;
  readonly port: number;
  /** Answered requests since the start, by path; refused connections do not count. */
  readonly requests: ReadonlyMap<string, number>;
  requestCount(): number;
  /** Closes the listener and every connection: from now on the kernel refuses connections. */
  refuse(): Promise<void>;
  /** Listens on the same port again. */
  accept(): Promise<void>;
  close(): Promise<void>;
}

export async function startArchiveServer(folder: string): Promise<ArchiveServer> {
  const requests = new Map<string, number>();
  const answerRequest = (request: IncomingMessage, response: ServerResponse) => {
    const path = (request.url ?? '/').replace(/\?.*$/, '');
    requests.set(path, (requests.get(path) ?? 0) + 1);
    answer(folder, path, request, response).catch(() => response.destroy());
  };
  let server: Server | null = await listen(answerRequest, 0);
  const address = server.address();
  if (address === null || typeof address === 'string')
    throw new Error('the archive server has no port');
  const { port } = address;

  async function refuse(): Promise<void> {
    const closing = server;
    server = null;
    if (closing === null) return;
    await new Promise<void>((resolve) => {
      closing.close(() => resolve());
      closing.closeAllConnections();
    });
  }

  return {
    url: `http://127.0.0.1:${port}`,
    port,
    requests,
    requestCount: () => requests.values().reduce((sum, count) => sum + count, 0),
    refuse,
    async accept() {
      server ??= await listen(answerRequest, port);
    },
    close: refuse,
  };
}

function listen(
  answerRequest: (request: IncomingMessage, response: ServerResponse) => void,
  port: number,
): Promise<Server> {
  const server = createServer(answerRequest);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

async function answer(
  folder: string,
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return end(response, 405);
  const file = await readServed(folder, path);
  if (file === null) return end(response, 404);

  response.setHeader('ETag', file.etag);
  response.setHeader('Last-Modified', new Date(file.modifiedMs).toUTCString());
  // Otherwise apt would resume part of an earlier InRelease with bytes of a newer one.
  response.setHeader('Accept-Ranges', 'none');
  if (isUnchanged(file, request)) return end(response, 304);
  response.setHeader('Content-Type', 'application/octet-stream');
  response.setHeader('Content-Length', file.bytes.length);
  response.end(request.method === 'HEAD' ? undefined : file.bytes);
}

interface ServedFile {
  readonly bytes: Buffer;
  readonly etag: string;
  /** Whole seconds. */
  readonly modifiedMs: number;
}

async function readServed(folder: string, path: string): Promise<ServedFile | null> {
  try {
    const decoded = normalize(decodeURIComponent(path));
    if (decoded.includes('\0') || decoded.startsWith('..')) return null;
    // One handle for both: a rename in between would pair old bytes with a new time.
    await using handle = await open(join(folder, decoded));
    const { mtimeMs } = await handle.stat();
    const bytes = await handle.readFile();
    const etag = `"${createHash('sha256').update(bytes).digest('hex').slice(0, 32)}"`;
    return { bytes, etag, modifiedMs: Math.floor(mtimeMs / 1000) * 1000 };
  } catch {
    return null;
  }
}

/** RFC 9110, 13.2.2: If-None-Match decides; If-Modified-Since only counts without it. */
function isUnchanged(file: ServedFile, request: IncomingMessage): boolean {
  const tags = request.headers['if-none-match'];
  if (tags !== undefined)
    return (
      tags === '*' || tags.split(/\s*,\s*/).some((tag) => tag.replace(/^W\//, '') === file.etag)
    );
  const since = Date.parse(request.headers['if-modified-since'] ?? '');
  return !Number.isNaN(since) && file.modifiedMs <= since;
}

function end(response: ServerResponse, status: number): void {
  response.statusCode = status;
  response.end();
}
