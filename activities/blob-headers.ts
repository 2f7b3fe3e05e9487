import type { RepoPath } from '../src/domain/repo-path.ts';

/**
 * Cache-Control of what is written to a site. The bytes of a by-hash name never change. Pool files
 * are kept for a week: a repaired one must reach readers some day. Published names change with
 * every release. Content-Encoding is never set: apt wants the stored bytes.
 */
const CACHE = {
  'by-hash': 'public, max-age=31536000, immutable',
  pool: 'public, max-age=604800',
  published: 'no-cache',
} as const;

const TYPES: readonly (readonly [RegExp, string])[] = [
  [/(?:^|\/)(?:InRelease|Release)$/, 'text/plain; charset=utf-8'],
  [/\.(?:gpg|asc)$/, 'application/pgp-signature'],
  [/\.gz$/, 'application/gzip'],
  [/\.xz$/, 'application/x-xz'],
  [/\.zst$/, 'application/zstd'],
  [/\.bz2$/, 'application/x-bzip2'],
  [/\.u?deb$/, 'application/vnd.debian.binary-package'],
];

export function headersOf(
  path: RepoPath,
  kind: keyof typeof CACHE,
): { contentType: string; cacheControl: string } {
  const contentType =
    TYPES.find(([pattern]) => pattern.test(path))?.[1] ?? 'application/octet-stream';
  return { contentType, cacheControl: CACHE[kind] };
}
