import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';

import { easyBufferEncode, initModule, streamBufferDecode } from 'node-liblzma/wasm';

await initModule();

/** Compressions of Debian packages and of indices, named by the extension of the file. */
export type Compression = 'gz' | 'xz' | 'zst';

/** The same bytes in every run: gzip without a time, xz with its smallest dictionary. */
export function compress(bytes: Uint8Array, compression: Compression): Buffer {
  if (compression === 'gz') return gzipSync(bytes, { level: 9 });
  if (compression === 'xz') return Buffer.from(easyBufferEncode(bytes, 0));
  return zstdCompressSync(bytes);
}

export function uncompress(bytes: Uint8Array, compression: Compression): Buffer {
  if (compression === 'gz') return gunzipSync(bytes);
  if (compression === 'xz') return Buffer.from(streamBufferDecode(bytes));
  return zstdDecompressSync(bytes);
}
