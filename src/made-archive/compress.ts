import { gzipSync, zstdCompressSync } from 'node:zlib';

import { easyBufferEncode, initModule } from 'node-liblzma/wasm';

await initModule();

/** The compressions that both Debian packages and indices use; also the extension of the file. */
export type Compression = 'gz' | 'xz' | 'zst';

/**
 * Same bytes in, same bytes out: gzip without a time, xz with the smallest dictionary, since all
 * here is small.
 */
export function compress(bytes: Uint8Array, compression: Compression): Buffer {
  if (compression === 'gz') return gzipSync(bytes, { level: 9 });
  if (compression === 'xz') return Buffer.from(easyBufferEncode(bytes, 0));
  return zstdCompressSync(bytes);
}
