import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { crc32, gzipSync, zstdCompressSync } from 'node:zlib';

import { easyBufferEncode, initModule } from 'node-liblzma/wasm';

import { decompress } from '../../src/archive/decompress.ts';
import { DebgeoError, type ErrorCode } from '../../src/domain/errors.ts';
import { refusesWith } from '../support/refuses-with.ts';

await initModule();
const MiB = 1024 * 1024;
const plain = Buffer.concat([randomBytes(200_000), Buffer.alloc(300_000, 'Package: hello\n')]);
const formats = {
  gz: (bytes: Buffer) => gzipSync(bytes),
  zst: (bytes: Buffer) => zstdCompressSync(bytes),
  xz: (bytes: Buffer) => Buffer.from(easyBufferEncode(bytes, 0)),
};

async function* inPieces(bytes: Uint8Array, pieceBytes = 16_384): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += pieceBytes)
    yield bytes.subarray(start, start + pieceBytes);
}

const all = async (bytes: AsyncIterable<Uint8Array>): Promise<Buffer> =>
  Buffer.concat(await Array.fromAsync(bytes, (chunk) => Buffer.from(chunk)));

describe('decompress', () => {
  it('passes what is not compressed through, up to the bound', async () => {
    const bytes = await all(decompress(inPieces(plain), 'none', plain.length));

    assert.deepEqual(bytes, plain);
    await assert.rejects(
      all(decompress(inPieces(plain), 'none', plain.length - 1)),
      refusesWith('LIMIT_EXCEEDED'),
    );
  });

  for (const format of ['gz', 'zst', 'xz'] as const) {
    const packed = formats[format](plain);
    const fails = (bytes: AsyncIterable<Uint8Array>, code: ErrorCode, sizeMax = MiB) =>
      assert.rejects(all(decompress(bytes, format, sizeMax)), refusesWith(code));

    for (const pieceBytes of [97, 4096, packed.length]) {
      it(`gives the bytes of ${format} that comes in pieces of ${pieceBytes}`, async () => {
        const bytes = await all(decompress(inPieces(packed, pieceBytes), format, plain.length));

        assert.ok(bytes.equals(plain));
      });
    }

    it(`gives no byte for ${format} of nothing`, async () => {
      const bytes = await all(decompress(inPieces(formats[format](Buffer.alloc(0))), format, 0));

      assert.equal(bytes.length, 0);
    });

    it(`passes over empty pieces of ${format}`, async () => {
      const bytes = async function* () {
        yield new Uint8Array();
        yield* inPieces(packed);
        yield new Uint8Array();
      };

      assert.ok((await all(decompress(bytes(), format, MiB))).equals(plain));
    });

    it(`refuses ${format} one byte beyond the bound`, async () => {
      await fails(inPieces(packed), 'LIMIT_EXCEEDED', plain.length - 1);
    });

    it(`stops a bomb of ${format} at the bound, without the memory it would take`, async () => {
      // In eight streams, one after the other where the format allows it: the encoder of xz has not
      // the memory for one.
      const bomb =
        format === 'xz'
          ? Buffer.concat(Array(8).fill(formats.xz(Buffer.alloc(32 * MiB))))
          : formats[format](Buffer.alloc(256 * MiB));
      const before = process.memoryUsage().rss;
      let size = 0;

      await assert.rejects(async () => {
        for await (const chunk of decompress(inPieces(bomb, bomb.length), format, 24 * MiB))
          size += chunk.length;
      }, refusesWith('LIMIT_EXCEEDED'));

      assert.ok(size <= 24 * MiB);
      assert.ok(process.memoryUsage().rss - before < 128 * MiB);
    });

    for (const kept of [
      0,
      1,
      5,
      Math.floor(packed.length / 2),
      packed.length - 20,
      packed.length - 1,
    ]) {
      it(`refuses ${format} that breaks off after ${kept} bytes`, async () => {
        await fails(inPieces(packed.subarray(0, kept)), 'INDEX_MALFORMED');
      });
    }

    it(`refuses a page of HTML as ${format}`, async () => {
      await fails(
        inPieces(Buffer.from('<html><title>Welcome to the hotel</title></html>')),
        'INDEX_MALFORMED',
      );
    });

    it(`refuses ${format} with a wrong byte`, async () => {
      const wrong = Buffer.from(packed);
      const middle = Math.floor(packed.length / 2);
      wrong.fill(0xaa, middle, middle + 8);

      // zstd has no checksum unless asked for: what comes out wrong is found by its SHA-256.
      if (format === 'zst')
        assert.ok(
          !(
            await all(decompress(inPieces(wrong), format, MiB)).catch(() => Buffer.alloc(0))
          ).equals(plain),
        );
      else await fails(inPieces(wrong), 'INDEX_MALFORMED');
    });

    it(`refuses ${format} that is followed by something else`, async () => {
      await fails(
        inPieces(Buffer.concat([packed, Buffer.from('garbage behind the end')])),
        'INDEX_MALFORMED',
      );
      await fails(
        inPieces(Buffer.concat([packed, Buffer.from('garbage behind the end')]), MiB),
        'INDEX_MALFORMED',
      );
    });

    it(`passes an error of the input of ${format} on as it is`, async () => {
      const breaksOff = async function* () {
        yield packed.subarray(0, 1000);
        throw new DebgeoError('ARCHIVE_UNREACHABLE', 'gone');
      };

      await fails(breaksOff(), 'ARCHIVE_UNREACHABLE');
    });

    it(`closes the input of ${format} when the reader stops early`, async () => {
      let closed = false;
      const bytes = async function* () {
        try {
          yield* inPieces(packed, 1000);
          throw new Error('read to the end');
        } finally {
          closed = true;
        }
      };

      for await (const _ of decompress(bytes(), format, MiB)) break;
      const deadline = Date.now() + 5000;
      while (!closed && Date.now() < deadline) await new Promise(setImmediate);

      assert.ok(closed);
    });
  }

  for (const format of ['gz', 'xz'] as const) {
    it(`reads several ${format} streams one after the other as one file`, async () => {
      const bytes = await all(
        decompress(
          inPieces(Buffer.concat([formats[format](plain), formats[format](plain)])),
          format,
          MiB,
        ),
      );

      assert.ok(bytes.equals(Buffer.concat([plain, plain])));
    });
  }

  it('refuses a second zstd frame, which Node would pass over in silence', async () => {
    const twice = Buffer.concat([formats.zst(plain), formats.zst(plain)]);

    await assert.rejects(
      all(decompress(inPieces(twice), 'zst', MiB)),
      refusesWith('INDEX_MALFORMED'),
    );
  });

  it('refuses xz that asks for more memory than xz -9 does', async () => {
    const wide = Buffer.from(easyBufferEncode(Buffer.alloc(100), 6));
    // The dictionary size stands in the LZMA2 filter flags of the block header (xz file format,
    // 5.3.1), which a CRC-32 follows.
    const filter = wide.indexOf(Buffer.from([0x21, 0x01]), 12);
    wide[filter + 2] = 40;
    wide.writeUInt32LE(
      crc32(wide.subarray(12, 12 + ((wide[12] ?? 0) + 1) * 4 - 4)),
      12 + ((wide[12] ?? 0) + 1) * 4 - 4,
    );

    await assert.rejects(all(decompress(inPieces(wide), 'xz', MiB)), refusesWith('LIMIT_EXCEEDED'));
  });
});
