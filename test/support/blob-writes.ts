/** The writes of immutable blobs that reached a site, as the proxy in front of it saw them. */
import type { WorldSite } from './world-site.ts';

export interface BlobWrites {
  readonly requests: number;
  /** A path per write that succeeded. */
  readonly written: readonly string[];
  /** A path per write that was answered "exists already" or "changed". */
  readonly conflicts: readonly string[];
}

export async function blobWritesAt(site: WorldSite): Promise<BlobWrites> {
  const puts = (await site.proxy.requests()).filter(
    ({ method, path }) => method === 'PUT' && /\/(pool|by-hash)\//.test(path),
  );
  const pathsOf = (isRight: (status: number) => boolean): string[] =>
    puts.filter(({ done }) => done !== null && isRight(done)).map(({ path }) => path);
  return {
    requests: puts.length,
    written: pathsOf((status) => status >= 200 && status < 300),
    conflicts: pathsOf((status) => status === 409 || status === 412),
  };
}
