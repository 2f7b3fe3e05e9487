/**
 * The bytes of a blob as requests need them: nothing is sent, or nothing becomes visible, before
 * they are those that were announced.
 */
import { createHash } from 'node:crypto';

import { DebgeoError } from '../domain/errors.ts';
import type { RepoPath } from '../domain/repo-path.ts';
import type { Sha256 } from '../domain/sha256.ts';
import type { BlobContent } from './site-store.ts';

/**
 * All bytes in one buffer with their MD5, known to be right before any of them goes out. Hashed as
 * they come, while the processor has them at hand.
 */
export async function wholeOf(
  content: BlobContent,
  path: RepoPath,
): Promise<{ readonly bytes: Buffer; readonly md5: Uint8Array }> {
  const sha256 = createHash('sha256');
  const md5 = createHash('md5');
  let known: Uint8Array | null = null;
  let bytes: Buffer | null = null;
  let size = 0;
  for await (const chunk of content.bytes) {
    if (size + chunk.length > content.size) throw tooLong(content, path);
    if (bytes === null) {
      known = content.md5?.() ?? null;
      const isAll = chunk.length === content.size;
      bytes = isAll
        ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
        : Buffer.allocUnsafe(content.size);
      if (!isAll) bytes.set(chunk);
    } else bytes.set(chunk, size);
    sha256.update(chunk);
    if (known === null) md5.update(chunk);
    size += chunk.length;
  }
  assertAnnounced(content, size, sha256.digest('hex') as Sha256, path);
  return { bytes: bytes ?? Buffer.alloc(0), md5: known ?? md5.digest() };
}

/** The bytes in blocks of exactly `blockBytes`, the last one shorter. */
export async function* blocksOf(
  content: BlobContent,
  blockBytes: number,
  path: RepoPath,
): AsyncGenerator<Buffer> {
  let block = Buffer.allocUnsafe(blockBytes);
  let filled = 0;
  let size = 0;
  for await (const chunk of content.bytes) {
    size += chunk.length;
    if (size > content.size) throw tooLong(content, path);
    for (let taken = 0; taken < chunk.length;) {
      const part = chunk.subarray(taken, taken + blockBytes - filled);
      block.set(part, filled);
      filled += part.length;
      taken += part.length;
      if (filled === blockBytes) {
        yield block;
        block = Buffer.allocUnsafe(blockBytes);
        filled = 0;
      }
    }
  }
  if (filled > 0) yield block.subarray(0, filled);
}

export function assertAnnounced(
  content: BlobContent,
  size: number,
  sha256: Sha256,
  path: RepoPath,
): void {
  if (size === content.size && sha256 === content.sha256) return;
  throw new DebgeoError(
    'BLOB_MISMATCH',
    `the bytes for ${path} are not those announced; nothing was written`,
    {
      expected: `${content.size} bytes, SHA-256 ${content.sha256}`,
      found: `${size} bytes, SHA-256 ${sha256}`,
    },
  );
}

const tooLong = (content: BlobContent, path: RepoPath) =>
  new DebgeoError('BLOB_MISMATCH', `more bytes for ${path} than announced; nothing was written`, {
    expected: `${content.size} bytes`,
    found: 'more',
  });
