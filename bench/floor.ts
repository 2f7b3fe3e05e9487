/**
 * The floor: the least that a client without any state must do. GET from the archive, PUT to each
 * site, GET from each site and compare the SHA-256, so many files at a time; nothing else: no SDK,
 * no database, no publication order. Or, for `verify`, the last step alone.
 *
 * A process of its own: `node bench/floor.ts TASK.json`, which prints `{"seconds":…}` from its
 * first request to its last.
 */
import { createHash, createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';

import type { CorpusFile } from './corpus.ts';

export interface FloorTask {
  readonly what: 'copy' | 'verify';
  readonly archiveUrl: string;
  readonly files: readonly CorpusFile[];
  readonly sites: readonly FloorSite[];
  readonly parallel: number;
}

export interface FloorSite {
  /** With the container and the folder below it. */
  readonly url: string;
  readonly account: string;
  /** Base64. */
  readonly key: string;
}

const VERSION = '2023-11-03';

const task = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as FloorTask;
const agent = new http.Agent({ keepAlive: true });
const queue = task.files.values();
const sites = task.sites.map((site) => ({
  ...site,
  secret: Buffer.from(site.key, 'base64'),
  at: new URL(site.url),
}));
const archive = new URL(task.archiveUrl);

const began = performance.now();
await Promise.all(Array.from({ length: task.parallel }, work));
process.stdout.write(`${JSON.stringify({ seconds: (performance.now() - began) / 1000 })}\n`);
agent.destroy();

async function work(): Promise<void> {
  for (const file of queue) {
    const bytes =
      task.what === 'copy'
        ? await read(archive, `${archive.pathname}/${quote(file.path)}`, {})
        : null;
    await Promise.all(
      sites.map(async (site) => {
        if (bytes !== null) await put(site, file.path, bytes);
        const found = await get(site, file);
        if (found !== file.sha256) throw new Error(`${file.path} has other bytes`);
      }),
    );
  }
}

type Site = (typeof sites)[number];

async function put(site: Site, path: string, bytes: Buffer): Promise<void> {
  const md5 = createHash('md5').update(bytes).digest('base64');
  const target = `${site.at.pathname}/${quote(path)}`;
  const headers = {
    'x-ms-blob-type': 'BlockBlob',
    'x-ms-date': new Date().toUTCString(),
    'x-ms-version': VERSION,
  };
  const authorization = sign(site, 'PUT', target, headers, {
    length: bytes.length,
    md5,
    type: 'application/octet-stream',
  });
  const all = {
    ...headers,
    authorization,
    'content-length': bytes.length,
    'content-md5': md5,
    'content-type': 'application/octet-stream',
  };
  const answer = await send(
    {
      host: site.at.hostname,
      port: site.at.port,
      path: target,
      method: 'PUT',
      headers: all,
      agent,
    },
    bytes,
  );
  if (answer.status !== 201)
    throw new Error(`PUT ${target}: ${answer.status} ${answer.body.toString()}`);
}

async function get(site: Site, file: CorpusFile): Promise<string> {
  const target = `${site.at.pathname}/${quote(file.path)}`;
  const headers = { 'x-ms-date': new Date().toUTCString(), 'x-ms-version': VERSION };
  const bytes = await read(site.at, target, {
    ...headers,
    authorization: sign(site, 'GET', target, headers, {}),
  });
  return createHash('sha256').update(bytes).digest('hex');
}

/** "Authorize with Shared Key" of the Azure Storage REST API. */
function sign(
  site: Site,
  method: string,
  target: string,
  headers: Readonly<Record<string, string>>,
  body: { readonly length?: number; readonly md5?: string; readonly type?: string },
): string {
  const named = Object.entries(headers)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}:${value}`);
  const text = [
    ...[method, '', '', body.length ?? '', body.md5 ?? '', body.type ?? '', '', '', '', '', '', ''],
    ...named,
    `/${site.account}${target}`,
  ].join('\n');
  const signature = createHmac('sha256', site.secret).update(text).digest('base64');
  return `SharedKey ${site.account}:${signature}`;
}

async function read(at: URL, target: string, headers: http.OutgoingHttpHeaders): Promise<Buffer> {
  const answer = await send(
    { host: at.hostname, port: at.port, path: target, headers, agent },
    null,
  );
  if (answer.status !== 200) throw new Error(`GET ${target}: ${answer.status}`);
  return answer.body;
}

function send(
  options: http.RequestOptions,
  body: Buffer | null,
): Promise<{ status: number; body: Buffer }> {
  return new Promise((resolve, reject) => {
    const request = http.request(options, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.once('error', reject);
      answer.once('end', () =>
        resolve({
          status: answer.statusCode ?? 0,
          body: chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks),
        }),
      );
    });
    request.once('error', reject);
    request.end(body ?? undefined);
  });
}

function quote(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}
