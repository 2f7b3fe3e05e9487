/**
 * Decompresses an index as a stream. The caller bounds the bytes that come out. The windows of the
 * formats bound the memory of one decoder, decoder-memory.ts that of all.
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
  memusage,
  WasmLzmaStream,
} from 'node-liblzma/wasm';

import { DebgeoError } from '../domain/errors.ts';
import type { Compression } from '../domain/index-file.ts';
import { LIMITS } from '../domain/limits.ts';
import { decoderMemory } from './decoder-memory.ts';

const OUTPUT_BYTES = 64 * 1024;
const ZSTD_WINDOW_LOG_MAX = Math.log2(LIMITS.decoderBytes);

/**
 * A chunk is valid until the next one is asked for.
 * @param sizeMax bytes that may come out; exactly as many are still right
 * @param signal ends the wait for memory, which other decoders have
 */
export async function* decompress(
  bytes: AsyncIterable<Uint8Array>,
  compression: Compression,
  sizeMax: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  let size = 0;
  for await (const chunk of decompressed(bytes, compression, signal)) {
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
  signal?: AbortSignal,
): AsyncIterable<Uint8Array> {
  switch (compression) {
    case 'none':
      return bytes;
    case 'gz':
      return throughZlib(bytes, createGunzip({ chunkSize: OUTPUT_BYTES }), compression);
    case 'zst':
      return throughZstd(bytes, signal);
    case 'xz':
      return throughLiblzma(bytes, signal);
  }
}

/** Node does not say how much memory a frame asks for: it has all, one at a time. */
async function* throughZstd(
  bytes: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  await decoderMemory.take(LIMITS.decoderBytes, signal);
  try {
    const params = { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX };
    const decoder = createZstdDecompress({ chunkSize: OUTPUT_BYTES, params });
    yield* throughZlib(bytes, decoder, 'zst');
  } finally {
    decoderMemory.give(LIMITS.decoderBytes);
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
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const liblzma = await initModule();
  const decoder = new XzDecoder(liblzma, signal);
  try {
    decoder.begin();
    let ended = false;
    for await (const chunk of bytes) {
      if (chunk.length === 0) continue;
      ended = yield* decoder.decode(LZMA_RUN, chunk);
      await immediate(); // decoding is synchronous: heartbeats and other lanes come in between
    }
    if (!ended) yield* decoder.decode(LZMA_FINISH, new Uint8Array(0));
  } finally {
    decoder.free();
  }
}

/** A file may be several streams one after the other (xz(1)); each asks for memory of its own. */
class XzDecoder {
  readonly #liblzma: LZMAModule;
  readonly #signal: AbortSignal | undefined;
  readonly #stream: WasmLzmaStream;
  /** Where liblzma writes, and where that is copied to: see decode. */
  readonly #output: number;
  readonly #copy = Buffer.allocUnsafe(OUTPUT_BYTES);
  /** Of decoderMemory. */
  #taken = 0;

  constructor(liblzma: LZMAModule, signal: AbortSignal | undefined) {
    this.#liblzma = liblzma;
    this.#signal = signal;
    this.#stream = new WasmLzmaStream(liblzma);
    this.#output = copyToWasm(liblzma, new Uint8Array(OUTPUT_BYTES));
  }

  /** Without memory: its header says how much it needs, and it is stopped there. */
  begin(): void {
    decoderInit(this.#stream, 1);
  }

  /** @returns whether the chunk ends at the end of a stream */
  async *decode(action: number, chunk: Uint8Array): AsyncGenerator<Uint8Array, boolean, undefined> {
    const liblzma = this.#liblzma;
    const stream = this.#stream;
    const input = copyToWasm(liblzma, chunk);
    try {
      stream.setInput(input, chunk.length);
      for (;;) {
        const before = stream.availIn;
        stream.setOutput(this.#output, OUTPUT_BYTES);
        const status = code(stream, action);
        if (status === LZMA_MEMLIMIT_ERROR) {
          await this.#takeMemory();
          continue;
        }
        if (status !== LZMA_OK && status !== LZMA_STREAM_END && status !== LZMA_BUF_ERROR)
          throw xzError(status);
        const made = OUTPUT_BYTES - stream.availOut;
        if (made > 0) {
          // A copy: a piece of liblzma's memory is empty as soon as another decoder lets it grow.
          this.#copy.set(liblzma.HEAPU8.subarray(this.#output, this.#output + made));
          yield this.#copy.subarray(0, made);
        }
        if (status === LZMA_STREAM_END) {
          this.#end();
          this.begin();
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

  free(): void {
    this.#end();
    this.#stream.free();
    this.#liblzma._free(this.#output);
  }

  /**
   * Once in a stream, so that no decoder waits for more while it has some: no tool makes a stream
   * whose later blocks ask for more than the first.
   */
  async #takeMemory(): Promise<void> {
    const bytes = memusage(this.#stream);
    const max = this.#taken > 0 ? this.#taken : LIMITS.decoderBytes;
    if (bytes > max)
      throw new DebgeoError('LIMIT_EXCEEDED', 'an xz stream asks for more memory than it may', {
        expected: `at most ${max} bytes`,
        found: `${bytes} bytes`,
      });
    await decoderMemory.take(bytes, this.#signal);
    this.#taken = bytes;
    this.#liblzma._lzma_memlimit_set(this.#stream.ptr, BigInt(bytes));
  }

  #end(): void {
    end(this.#stream);
    decoderMemory.give(this.#taken);
    this.#taken = 0;
  }
}

function xzError(status: number): Error {
  // The worker's fault, not the archive's: an error without a code is tried again.
  if (status === LZMA_MEM_ERROR)
    return new Error('liblzma has no memory left: too many indices at once');
  return malformed('xz', new Error(`liblzma returned ${status}`));
}

const malformed = (compression: Compression, cause: unknown): DebgeoError =>
  new DebgeoError(
    'INDEX_MALFORMED',
    `an index is not a whole ${compression} stream`,
    { expected: compression, found: cause instanceof Error ? cause.message : String(cause) },
    cause,
  );
