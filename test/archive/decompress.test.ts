import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { crc32, gzipSync, zstdCompressSync } from 'node:zlib';

import { easyBufferEncode, initModule, resetModule } from 'node-liblzma/wasm';

import { decoderMemory } from '../../src/archive/decoder-memory.ts';
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
    const wide = wideXz(40);

    await assert.rejects(all(decompress(inPieces(wide), 'xz', MiB)), refusesWith('LIMIT_EXCEEDED'));
  });

  for (const [format, packed] of [
    ['xz', wideXz(28)], // 64 MiB, as `xz -9`
    ['zst', formats.zst(plain)],
  ] as const) {
    it(`reads eight files of ${format} at once that need much memory`, async () => {
      // All hold what they have, until each has it that may: none is read to the end before.
      const readers = Array.from({ length: 8 }, () =>
        decompress(inPieces(packed, 64), format, MiB),
      );
      const whole = await Promise.all(readers.map(all));

      for (const bytes of whole) assert.ok(bytes.equals(plain));
    });
  }

  it('loses no byte of xz while another decoder lets the memory of liblzma grow', async () => {
    const packed = wideXz(22); // 8 MiB, as `xz -6`
    resetModule(); // its memory is as small as at the start
    const four = await Promise.all(
      Array.from({ length: 4 }, () => all(decompress(inPieces(packed, 64), 'xz', MiB))),
    );

    for (const bytes of four) assert.ok(bytes.equals(plain));
  });

  it('it would be seen if no decoder waited for memory', async (t) => {
    t.mock.method(decoderMemory, 'take', () => Promise.resolve());
    t.mock.method(decoderMemory, 'give', () => undefined);
    const packed = wideXz(28);
    const eight = Array.from({ length: 8 }, () => all(decompress(inPieces(packed, 64), 'xz', MiB)));
    const outcomes = await Promise.allSettled(eight);

    const failed = outcomes.filter(({ status }) => status === 'rejected');
    assert.ok(failed.length > 0, 'all of them found memory');
  });

  it('lets a decoder wait for memory until its caller ends, and gives it back', async () => {
    const packed = wideXz(29);
    const first = decompress(inPieces(packed, 64), 'xz', MiB);
    await first.next();
    const stop = new AbortController();
    const second = all(decompress(inPieces(packed, 64), 'xz', MiB, stop.signal));
    second.catch(() => undefined);
    const small = decompress(inPieces(formats.gz(plain)), 'gz', MiB);
    assert.ok((await all(small)).equals(plain), 'gzip needs none');

    stop.abort(new Error('the capture is over'));
    await assert.rejects(second, /the capture is over/);
    await first.return();
    for (const _ of [1, 2])
      assert.ok((await all(decompress(inPieces(packed), 'xz', MiB))).equals(plain));
  });

  it('refuses a stream whose later blocks ask for more memory than the first', async () => {
    const [small, large] = [wideXz(16), wideXz(24)];
    const blockOf = (xz: Buffer) =>
      xz.subarray(12, xz.length - 12 - (xz.readUInt32LE(xz.length - 8) + 1) * 4);
    const twoBlocks = Buffer.concat([small.subarray(0, 12), blockOf(small), blockOf(large)]);

    const refused = all(decompress(inPieces(twoBlocks), 'xz', 2 * MiB));
    await assert.rejects(refused, refusesWith('LIMIT_EXCEEDED'));
    await all(decompress(inPieces(Buffer.concat([small, large])), 'xz', 2 * MiB));
  });
});

/**
 * With another size of its dictionary: (2 | d & 1) << (d / 2 + 11) bytes. It stands in the LZMA2
 * filter flags of the block header (xz file format, 5.3.1), which a CRC-32 follows.
 */
function wideXz(d: number): Buffer {
  const xz = Buffer.from(easyBufferEncode(plain, 0));
  const crcAt = 12 + ((xz[12] ?? 0) + 1) * 4 - 4;
  xz[xz.indexOf(Buffer.from([0x21, 0x01]), 12) + 2] = d;
  xz.writeUInt32LE(crc32(xz.subarray(12, crcAt)), crcAt);
  return xz;
}
