/** The sites of the model as readers see them, over HTTP: `/<site>/<path>`. */
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

import type { RepoPath } from '../../src/domain/repo-path.ts';
import type { Blobs } from './watch.ts';

export async function startPublicServer(
  sites: ReadonlyMap<string, { readonly blobs: Blobs }>,
): Promise<{ readonly url: string; close(): Promise<void> }> {
  const server = http.createServer((request, response) => {
    const [, site, path] = /^\/([^/]+)\/(.*)$/.exec(decodeURIComponent(request.url ?? ''))!;
    const blob = sites.get(site!)?.blobs.get(path as RepoPath);
    if (blob === undefined) return response.writeHead(404).end();
    const lastModified = new Date(blob.lastModified).toUTCString();
    response.writeHead(200, { 'last-modified': lastModified, etag: blob.etag }).end(blob.bytes);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
