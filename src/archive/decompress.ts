/**
 * Decompresses an index as a stream. What comes out is bounded by the caller, memory by the formats' windows.
 *
 * Stops with LIMIT_EXCEEDED at the first byte beyond the bound (a bomb costs at most one more chunk) and with INDEX_MALFORMED where the input
 * is truncated, not of the format, or followed by something else. Errors of the input itself pass through unchanged.
 */
import { pipeline, Readable, type Transform } from 'node:stream';
import { constants, createGunzip, createZstdDecompress } from 'node:zlib';
import { LZMAAction, LZMAStatus, type NativeLZMA, Unxz } from 'node-liblzma';
import { DebgeoError } from '../domain/errors.ts';
import type { Compression } from '../domain/index-file.ts';

const OUTPUT_BYTES = 64 * 1024;
/** `xz -9` needs 65 MiB to decompress; what asks for more does not come from an archive. */
const XZ_MEMORY_BYTES = 128 * 1024 * 1024;
/** 128 MiB, what `zstd -d` accepts without being told otherwise. */
const ZSTD_WINDOW_LOG_MAX = 27;

/** @param sizeMax bytes that may come out; exactly as many are still right */
export async function* decompress(
  bytes: AsyncIterable<Uint8Array>,
  compression: Compression,
  sizeMax: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  let size = 0;
  for await (const chunk of decompressed(bytes, compression)) {
    size += chunk.length;
    if (size > sizeMax) {
      throw new DebgeoError('LIMIT_EXCEEDED', 'an index is larger than it may be', { expected: `at most ${sizeMax} bytes`, found: 'more' });
    }
    yield chunk;
  }
}

function decompressed(bytes: AsyncIterable<Uint8Array>, compression: Compression): AsyncIterable<Uint8Array> {
  switch (compression) {
    case 'none':
      return bytes;
    case 'gz':
      return throughZlib(bytes, createGunzip({ chunkSize: OUTPUT_BYTES }), compression);
    case 'zst':
      return throughZlib(
        bytes,
        createZstdDecompress({ chunkSize: OUTPUT_BYTES, params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX } }),
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
  // The callback must be there: without it an error of the source would be thrown where nobody catches it. It reaches us through the decoder.
  pipeline(source, decoder, () => {});
  try {
    yield* decoder as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw isZlibError(error) ? malformed(compression, error) : error;
  } finally {
    source.destroy();
    decoder.destroy();
  }
  // Node ends a zstd stream after its first frame, and a gzip stream at a zero, and says nothing of the rest.
  if (decoder.bytesWritten !== given) throw malformed(compression, new Error('something follows the end of the stream'));
}

async function* counted(bytes: AsyncIterable<Uint8Array>, count: (length: number) => void): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of bytes) {
    if (chunk.length === 0) continue;
    count(chunk.length);
    yield chunk;
  }
}

const isZlibError = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' && /^(Z_|ZSTD_|ERR_TRAILING_JUNK)/.test(error.code);

/**
 * liblzma step by step. The binding's own stream does not notice a truncated file and knows no backpressure: one small chunk of a bomb would
 * put hundreds of megabytes into memory.
 */
class XzSteps extends Unxz {
  /** The binding itself; there at run time, and in the types of lib/ only. */
  declare protected readonly lzma: NativeLZMA;

  step(action: number, input: Buffer, offset: number, output: Buffer): Promise<{ status: number; inputLeft: number; outputLeft: number }> {
    return new Promise((resolve) => {
      this.lzma.code(action, input, offset, input.length - offset, output, 0, (status, inputLeft, outputLeft) => {
        resolve({ status, inputLeft, outputLeft });
        return false;
      });
    });
  }
}

async function* throughLiblzma(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const decoder = new XzSteps({ memlimit: XZ_MEMORY_BYTES });
  try {
    for await (const chunk of bytes) {
      yield* decodeChunk(decoder, LZMAAction.RUN as number, Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    }
    yield* decodeChunk(decoder, LZMAAction.FINISH as number, Buffer.alloc(0));
  } finally {
    decoder.close();
  }
}

async function* decodeChunk(decoder: XzSteps, action: number, input: Buffer): AsyncGenerator<Uint8Array, void, undefined> {
  let offset = 0;
  for (;;) {
    const output = Buffer.allocUnsafe(OUTPUT_BYTES);
    const { status, inputLeft, outputLeft } = await decoder.step(action, input, offset, output);
    if (status !== LZMAStatus.OK && status !== LZMAStatus.STREAM_END && status !== LZMAStatus.BUF_ERROR) throw xzError(status);
    const made = OUTPUT_BYTES - outputLeft;
    if (made > 0) yield output.subarray(0, made);
    if (status === LZMAStatus.STREAM_END) return;
    const idle = made === 0 && input.length - offset === inputLeft;
    offset = input.length - inputLeft;
    if (action === LZMAAction.FINISH) {
      if (idle) throw malformed('xz', new Error('unexpected end of file'));
    } else if (inputLeft === 0 && outputLeft > 0) return;
    else if (idle) throw malformed('xz', new Error('no progress'));
  }
}

function xzError(status: number): DebgeoError {
  if (status !== LZMAStatus.MEMLIMIT_ERROR) return malformed('xz', new Error(`liblzma returned ${status}`));
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
