import { gunzipSync, zstdDecompressSync } from 'node:zlib';

import { initModule, streamBufferDecode } from 'node-liblzma/wasm';

await initModule();

/** Compressions of indices, named by the extension of the file. */
export type Compression = 'gz' | 'xz' | 'zst';

export function uncompress(bytes: Uint8Array, compression: Compression): Buffer {
  if (compression === 'gz') return gunzipSync(bytes);
  if (compression === 'xz') return Buffer.from(streamBufferDecode(bytes));
  return zstdDecompressSync(bytes);
}
