/** The bytes of a blob as requests need them: nothing is sent, or nothing becomes visible, before they are those that were announced. */
import { DebgeoError } from '../domain/errors.ts';
import type { RepoPath } from '../domain/repo-path.ts';
import { sha256Of, type Sha256 } from '../domain/sha256.ts';
import type { BlobContent } from './site-store.ts';

/** All bytes in one buffer, known to be right before any of them goes out. */
export async function wholeOf(content: BlobContent, path: RepoPath): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of content.bytes) {
    size += chunk.length;
    if (size > content.size) throw tooLong(content, path);
    chunks.push(chunk);
  }
  const [only] = chunks;
  const bytes =
    chunks.length === 1 && only !== undefined ? Buffer.from(only.buffer, only.byteOffset, only.byteLength) : Buffer.concat(chunks);
  assertAnnounced(content, size, sha256Of(bytes), path);
  return bytes;
}

/** The bytes in blocks of exactly `blockBytes`, the last one shorter. */
export async function* blocksOf(content: BlobContent, blockBytes: number, path: RepoPath): AsyncGenerator<Buffer> {
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

export function assertAnnounced(content: BlobContent, size: number, sha256: Sha256, path: RepoPath): void {
  if (size === content.size && sha256 === content.sha256) return;
  throw new DebgeoError('BLOB_MISMATCH', `the bytes for ${path} are not those announced; nothing was written`, {
    expected: `${content.size} bytes, SHA-256 ${content.sha256}`,
    found: `${size} bytes, SHA-256 ${sha256}`,
  });
}

const tooLong = (content: BlobContent, path: RepoPath) =>
  new DebgeoError('BLOB_MISMATCH', `more bytes for ${path} than announced; nothing was written`, {
    expected: `${content.size} bytes`,
    found: 'more',
  });
