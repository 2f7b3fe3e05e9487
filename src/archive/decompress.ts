/**
 * Decompresses an index as a stream. The caller bounds the bytes that come out, the windows of the
 * formats bound the memory.
 *
 * Stops with LIMIT_EXCEEDED at the first byte beyond the bound (a bomb costs at most one more
 * chunk) and with INDEX_MALFORMED where the input is truncated, not of the format, or followed by
 * something else. Errors of the input itself pass through unchanged.
 */
import { pipeline, Readable, type Transform } from 'node:stream';
import { setImmediate as immediate } from 'node:timers/promises';
import { constants, createGunzip, createZstdDecompress } from 'node:zlib';

import {
  code,
  copyToWasm,
  decoderInit,
  end,
  initModule,
  LZMA_BUF_ERROR,
  LZMA_FINISH,
  LZMA_MEM_ERROR,
  LZMA_MEMLIMIT_ERROR,
  LZMA_OK,
  LZMA_RUN,
  LZMA_STREAM_END,
  type LZMAModule,
  WasmLzmaStream,
} from 'node-liblzma/wasm';

import { DebgeoError } from '../domain/errors.ts';
import type { Compression } from '../domain/index-file.ts';

const OUTPUT_BYTES = 64 * 1024;
/** `xz -9` needs 65 MiB to decompress; what asks for more does not come from an archive. */
const XZ_MEMORY_BYTES = 128 * 1024 * 1024;
/** 128 MiB, what `zstd -d` accepts without being told otherwise. */
const ZSTD_WINDOW_LOG_MAX = 27;

/**
 * A chunk is valid until the next one is asked for.
 * @param sizeMax bytes that may come out; exactly as many are still right
 */
export async function* decompress(
  bytes: AsyncIterable<Uint8Array>,
  compression: Compression,
  sizeMax: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  let size = 0;
  for await (const chunk of decompressed(bytes, compression)) {
    size += chunk.length;
    if (size > sizeMax) {
      throw new DebgeoError('LIMIT_EXCEEDED', 'an index is larger than it may be', {
        expected: `at most ${sizeMax} bytes`,
        found: 'more',
      });
    }
    yield chunk;
  }
}

function decompressed(
  bytes: AsyncIterable<Uint8Array>,
  compression: Compression,
): AsyncIterable<Uint8Array> {
  switch (compression) {
    case 'none':
      return bytes;
    case 'gz':
      return throughZlib(bytes, createGunzip({ chunkSize: OUTPUT_BYTES }), compression);
    case 'zst':
      return throughZlib(
        bytes,
        createZstdDecompress({
          chunkSize: OUTPUT_BYTES,
          params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX },
        }),
        compression,
      );
    case 'xz':
      return throughLiblzma(bytes);
  }
}

async function* throughZlib(
  bytes: AsyncIterable<Uint8Array>,
  decoder: Transform & { readonly bytesWritten: number },
  compression: Compression,
): AsyncGenerator<Uint8Array, void, undefined> {
  let given = 0;
  const source = Readable.from(counted(bytes, (length) => (given += length)));
  // Without a callback an error of the source would be an uncaught exception. It reaches the loop
  // below through the decoder.
  pipeline(source, decoder, () => {});
  try {
    yield* decoder as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw isZlibError(error) ? malformed(compression, error) : error;
  } finally {
    source.destroy();
    decoder.destroy();
  }
  // Node ends a zstd stream after its first frame, and a gzip stream at a zero, and says nothing of
  // the rest.
  if (decoder.bytesWritten !== given)
    throw malformed(compression, new Error('something follows the end of the stream'));
}

async function* counted(
  bytes: AsyncIterable<Uint8Array>,
  count: (length: number) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of bytes) {
    if (chunk.length === 0) continue;
    count(chunk.length);
    yield chunk;
  }
}

const isZlibError = (error: unknown): boolean =>
  error instanceof Error &&
  'code' in error &&
  typeof error.code === 'string' &&
  /^(Z_|ZSTD_|ERR_TRAILING_JUNK)/.test(error.code);

/**
 * liblzma, compiled to WebAssembly (so nothing is built at installation), step by step: the
 * ready-made streams notice neither a truncated file nor what follows its end, and know no
 * backpressure: one small chunk of a bomb would put hundreds of megabytes into memory.
 */
async function* throughLiblzma(
  bytes: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const liblzma = await initModule();
  const stream = new WasmLzmaStream(liblzma);
  const output = wasmAlloc(liblzma);
  try {
    decoderInit(stream, XZ_MEMORY_BYTES);
    let ended = false;
    for await (const chunk of bytes) {
      if (chunk.length === 0) continue;
      ended = yield* decodeChunk(liblzma, stream, output, LZMA_RUN, chunk);
      await immediate(); // decoding is synchronous: heartbeats and other lanes come in between
    }
    if (!ended) yield* decodeChunk(liblzma, stream, output, LZMA_FINISH, new Uint8Array(0));
  } finally {
    end(stream);
    stream.free();
    liblzma._free(output);
  }
}

const wasmAlloc = (liblzma: LZMAModule): number =>
  copyToWasm(liblzma, new Uint8Array(OUTPUT_BYTES));

/**
 * A file may be several streams one after the other (xz(1)).
 * @returns whether the chunk ends at the end of one
 */
function* decodeChunk(
  liblzma: LZMAModule,
  stream: WasmLzmaStream,
  output: number,
  action: number,
  chunk: Uint8Array,
): Generator<Uint8Array, boolean, undefined> {
  const input = copyToWasm(liblzma, chunk);
  try {
    stream.setInput(input, chunk.length);
    for (;;) {
      const before = stream.availIn;
      stream.setOutput(output, OUTPUT_BYTES);
      const status = code(stream, action);
      if (status !== LZMA_OK && status !== LZMA_STREAM_END && status !== LZMA_BUF_ERROR)
        throw xzError(status);
      const made = OUTPUT_BYTES - stream.availOut;
      // taken anew each time: the memory moves when it grows
      if (made > 0) yield liblzma.HEAPU8.subarray(output, output + made);
      if (status === LZMA_STREAM_END) {
        decoderInit(stream, XZ_MEMORY_BYTES);
        if (stream.availIn === 0) return true;
        continue;
      }
      const idle = made === 0 && stream.availIn === before;
      if (action === LZMA_FINISH && idle)
        throw malformed('xz', new Error('unexpected end of file'));
      if (action === LZMA_RUN && stream.availIn === 0 && stream.availOut > 0) return false;
      if (action === LZMA_RUN && idle) throw malformed('xz', new Error('no progress'));
    }
  } finally {
    liblzma._free(input);
  }
}

function xzError(status: number): Error {
  // The worker's fault, not the archive's: an error without a code is tried again.
  if (status === LZMA_MEM_ERROR)
    return new Error('liblzma has no memory left: too many indices at once');
  if (status !== LZMA_MEMLIMIT_ERROR)
    return malformed('xz', new Error(`liblzma returned ${status}`));
  return new DebgeoError('LIMIT_EXCEEDED', 'an xz stream asks for more memory than it may', {
    expected: `at most ${XZ_MEMORY_BYTES} bytes`,
    found: 'more',
  });
}

const malformed = (compression: Compression, cause: unknown): DebgeoError =>
  new DebgeoError(
    'INDEX_MALFORMED',
    `an index is not a whole ${compression} stream`,
    { expected: compression, found: cause instanceof Error ? cause.message : String(cause) },
    cause,
  );
