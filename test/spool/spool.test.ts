import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import {
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';

import { DebgeoError } from '../../src/domain/errors.ts';
import { sha256Of } from '../../src/domain/sha256.ts';
import { Segment } from '../../src/spool/segment.ts';
import { Spool, type Fetch, type Spooled } from '../../src/spool/spool.ts';
import { refusesWith } from '../support/refuses-with.ts';

const NEVER = new AbortController().signal;
/** Nothing stays in memory: what is asked for again comes from the disk. */
const BOUNDS = { spoolBytes: 1_000_000, segmentBytes: 100_000, putBytes: 20_000, heldBytes: 1 };
const HELD = { ...BOUNDS, heldBytes: 20_000 };

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'spool-test-'));
});
after(() => rm(folder, { recursive: true }));

for (const [way, size] of [
  ['a small blob', 5_000],
  ['a large blob', 50_000],
] as const) {
  describe(`the spool, ${way}`, () => {
    it('asks once for many lanes at the same time, and not at all later', async (t) => {
      const { spool, blob, bytes } = aSpool(t, size);
      const origin = anOrigin(bytes);

      const opened = await Promise.all([1, 2, 3].map(() => spool.open(blob, origin.fetch, NEVER)));
      const later = await spool.open(blob, origin.fetch, NEVER);

      for (const one of [...opened, later]) assert.deepEqual(await bytesOf(one), bytes);
      assert.equal(origin.asked, 1);
      assert.deepEqual(later?.md5, createHash('md5').update(bytes).digest());
      assert.deepEqual(spool.counts, { shared: 3, fetched: 1, fetchedAgain: 0 });
    });

    it('gives nothing out that is not what was announced, and asks anew', async (t) => {
      const { spool, blob, bytes } = aSpool(t, size);
      const flipped = Buffer.from(bytes);
      flipped[size - 1]! ^= 1;
      for (const wrong of [flipped, bytes.subarray(1), Buffer.concat([bytes, bytes])]) {
        await assert.rejects(
          spool.open(blob, anOrigin(wrong).fetch, NEVER),
          refusesWith('BLOB_MISMATCH'),
        );
      }

      assert.deepEqual(await bytesOf(await spool.open(blob, anOrigin(bytes).fetch, NEVER)), bytes);
    });

    it('goes on fetching while one lane still wants it, and stops with the last', async (t) => {
      const { spool, blob, bytes } = aSpool(t, size);
      const origin = anOrigin(bytes, 'held');
      const [first, second] = [new AbortController(), new AbortController()];
      const left = spool.open(blob, origin.fetch, first.signal);
      const stays = spool.open(blob, origin.fetch, second.signal);

      first.abort(new Error('cancelled'));
      await assert.rejects(left, /cancelled/);
      assert.equal(origin.stopped, false);
      origin.go();
      assert.deepEqual(await bytesOf(await stays), bytes);

      const other = aSpool(t, size);
      const held = anOrigin(other.bytes, 'held');
      const alone = other.spool.open(other.blob, held.fetch, second.signal);
      second.abort(new Error('cancelled'));
      await assert.rejects(alone, /cancelled/);
      assert.equal(held.stopped, true);
    });

    it('tells every lane that waits what the origin says', async (t) => {
      const { spool, blob } = aSpool(t, size);
      const fail: Fetch = () => Promise.reject(new DebgeoError('ARCHIVE_UNREACHABLE', 'away'));
      const missing: Fetch = () => Promise.resolve(null);

      const outcomes = await Promise.allSettled([1, 2].map(() => spool.open(blob, fail, NEVER)));

      for (const outcome of outcomes)
        assert.ok(
          outcome.status === 'rejected' && refusesWith('ARCHIVE_UNREACHABLE')(outcome.reason),
        );
      assert.equal(await spool.open(blob, missing, NEVER), null);
    });

    it('asks where a lane says, also when another place lacks it, errs or is away', async (t) => {
      const { spool, blob, bytes } = aSpool(t, size);
      const elsewhere: Fetch[] = [
        () => Promise.resolve(null),
        () => Promise.reject(new DebgeoError('ARCHIVE_UNREACHABLE', 'away')),
        anOrigin(bytes.subarray(1)).fetch,
      ];
      for (const fetch of elsewhere) {
        const first = Promise.allSettled([spool.open(blob, fetch, NEVER)]);
        assert.deepEqual(
          await bytesOf(await spool.open(blob, anOrigin(bytes).fetch, NEVER)),
          bytes,
        );
        await first;
        spool.forget(blob.sha256);
      }
    });

    it('shares a fetch that began in the very moment in which another one failed', async (t) => {
      for (let ticks = 0; ticks < 30; ticks += 1) {
        const { spool, blob, bytes } = aSpool(t, size);
        const failed = Promise.allSettled([
          spool.open(blob, () => Promise.reject(new Error('away')), NEVER),
        ]);
        for (let tick = 0; tick < ticks; tick += 1) await Promise.resolve();
        const origin = anOrigin(bytes, 'held');
        const second = spool.open(blob, origin.fetch, NEVER);
        await failed;
        await new Promise((resolve) => setImmediate(resolve));
        const third = spool.open(blob, origin.fetch, NEVER);
        origin.go();
        for (const one of await Promise.all([second, third]))
          assert.deepEqual(await bytesOf(one), bytes);
        assert.equal(origin.asked, 1, `after ${ticks} ticks`);
      }
    });

    it('asks anew for what the disk does not give any more', async (t) => {
      const before = await openSpools();
      const broken: unknown[] = [];
      const spool = new Spool(folder, (error) => broken.push(error), BOUNDS);
      t.after(() => spool.close());
      const bytes = randomBytes(size);
      const blob = { size, sha256: sha256Of(bytes) };
      const origin = anOrigin(bytes);
      await bytesOf(await spool.open(blob, origin.fetch, NEVER));
      for (const file of await openSpools()) if (!before.includes(file)) await truncate(file, 0);

      for (const asked of [2, 3, 3]) {
        assert.deepEqual(await bytesOf(await spool.open(blob, origin.fetch, NEVER)), bytes);
        assert.equal(origin.asked, asked);
      }
      assert.equal(broken.length, 1);
    });

    it('passes the bytes on where the disk takes nothing, and says so', async (t) => {
      const file = join(folder, `a-file-${size}`);
      await writeFile(file, '');
      const broken: unknown[] = [];
      const spool = new Spool(join(file, 'below'), (error) => broken.push(error), BOUNDS);
      t.after(() => spool.close());
      const bytes = randomBytes(size);
      const blob = { size, sha256: sha256Of(bytes) };
      const origin = anOrigin(bytes);

      assert.deepEqual(await bytesOf(await spool.open(blob, origin.fetch, NEVER)), bytes);
      assert.deepEqual(await bytesOf(await spool.open(blob, origin.fetch, NEVER)), bytes);
      assert.ok(broken.length > 0);
    });

    it('keeps its bound, forgets the oldest, and counts what is fetched again', async (t) => {
      const { spool } = aSpool(t, size);
      const blobs = Array.from({ length: 2_000_000 / size }, () => randomBytes(size));
      for (const bytes of blobs)
        await bytesOf(
          await spool.open({ size, sha256: sha256Of(bytes) }, anOrigin(bytes).fetch, NEVER),
        );
      const [oldest, newest] = [blobs[0]!, blobs.at(-1)!];
      const before = { ...spool.counts };

      const held = await spool.open(
        { size, sha256: sha256Of(oldest) },
        anOrigin(oldest).fetch,
        NEVER,
      );
      await spool.open({ size, sha256: sha256Of(newest) }, () => assert.fail('it is here'), NEVER);

      assert.deepEqual(await bytesOf(held), oldest);
      assert.deepEqual(spool.counts, {
        shared: before.shared + 1,
        fetched: before.fetched + 1,
        fetchedAgain: before.fetchedAgain + 1,
      });
    });

    it('still gives what it promised when its room went to others meanwhile', async (t) => {
      const { spool, blob, bytes } = aSpool(t, size);
      const origin = anOrigin(bytes);
      await bytesOf(await spool.open(blob, origin.fetch, NEVER));
      const opened = await spool.open(blob, origin.fetch, NEVER);
      for (let filled = 0; filled < 2 * BOUNDS.spoolBytes; filled += size) {
        const other = randomBytes(size);
        await bytesOf(
          await spool.open({ size, sha256: sha256Of(other) }, anOrigin(other).fetch, NEVER),
        );
      }

      assert.deepEqual(await bytesOf(opened), bytes);
    });

    it('asks anew for what was found wrong', async (t) => {
      const { spool, blob, bytes } = aSpool(t, size);
      const origin = anOrigin(bytes);
      await bytesOf(await spool.open(blob, origin.fetch, NEVER));

      spool.forget(blob.sha256);
      await bytesOf(await spool.open(blob, origin.fetch, NEVER));

      assert.equal(origin.asked, 2);
    });

    it('leaves no file behind, however it ends', async (t) => {
      const { spool, blob, bytes } = aSpool(t, size);
      await bytesOf(await spool.open(blob, anOrigin(bytes).fetch, NEVER));

      assert.deepEqual(
        (await readdir(folder)).filter((name) => name.includes('spool')),
        [],
      );
    });
  });
}

describe('the spool, with more on its way than it may keep', () => {
  const size = 60_000;
  const bounds = { ...BOUNDS, spoolBytes: 150_000 };

  /** Sixteen files whose last bytes do not come yet. @returns the most that was on the disk */
  const fetchSixteen = async (t: TestContext): Promise<number> => {
    const { spool } = aSpool(t, size, bounds);
    const before = await openSpools();
    const gate = Promise.withResolvers<void>();
    const blobs = Array.from({ length: 16 }, () => randomBytes(size));
    let waiting = 0;
    const fetchOf = (bytes: Buffer) => async () => {
      await Promise.resolve();
      return (async function* () {
        yield bytes.subarray(0, size - 1);
        waiting += 1;
        await gate.promise;
        yield bytes.subarray(size - 1);
      })();
    };
    const given = Promise.all(
      blobs.map(async (bytes) =>
        bytesOf(await spool.open({ size, sha256: sha256Of(bytes) }, fetchOf(bytes), NEVER)),
      ),
    );
    while (waiting < blobs.length) await new Promise((resolve) => setImmediate(resolve));
    const files = (await openSpools()).filter((one) => !before.includes(one));
    const onDisk = (await Promise.all(files.map((file) => stat(file)))).reduce(
      (sum, file) => sum + file.size,
      0,
    );
    gate.resolve();
    assert.deepEqual(await given, blobs);
    return onDisk;
  };

  it('keeps its bound, and passes on what has no room', async (t) => {
    assert.ok((await fetchSixteen(t)) <= bounds.spoolBytes);
  });

  it('it would be seen if what is in use were given up and not counted', async (t) => {
    t.mock.getter(Segment.prototype, 'isUsed', () => false);

    assert.ok((await fetchSixteen(t)) > bounds.spoolBytes);
  });

  it('reserves before it fetches, and gives the room back where nothing came', async (t) => {
    const { spool } = aSpool(t, size, bounds);
    const [held, other] = [randomBytes(size), randomBytes(2 * size)];
    const [blob, larger] = [held, other].map((bytes) => ({
      size: bytes.length,
      sha256: sha256Of(bytes),
    })) as [Blob, Blob];
    const gate = Promise.withResolvers<null>();
    const absent = spool.open(blob, () => gate.promise, NEVER);
    for (const asked of [1, 2]) {
      const origin = anOrigin(other);
      assert.deepEqual(await bytesOf(await spool.open(larger, origin.fetch, NEVER)), other);
      assert.deepEqual(spool.counts, { shared: 0, fetched: 1 + asked, fetchedAgain: 0 });
    }
    gate.resolve(null);
    assert.equal(await absent, null);

    for (const _ of [1, 2]) await bytesOf(await spool.open(larger, anOrigin(other).fetch, NEVER));
    assert.equal(spool.counts.shared, 1);
  });
});

type Blob = Parameters<Spool['open']>[0];

describe('the spool, what it holds in memory', () => {
  const size = 5_000;
  const fetchAll = async (spool: Spool, blobs: readonly Buffer[]) => {
    const origins = blobs.map((bytes) => anOrigin(bytes));
    const opened = await Promise.all(
      blobs.map((bytes, at) =>
        spool.open({ size, sha256: sha256Of(bytes) }, origins[at]!.fetch, NEVER),
      ),
    );
    return {
      given: await Promise.all(opened.map(bytesOf)),
      asked: origins.reduce((sum, { asked }) => sum + asked, 0),
    };
  };

  it('is written when it is enough, and read from disk once as much came behind it', async (t) => {
    const before = await openSpools();
    const { spool } = aSpool(t, size, HELD);
    const blobs = Array.from({ length: 11 }, () => randomBytes(size));
    for (const bytes of blobs.slice(0, 3)) await fetchAll(spool, [bytes]);
    assert.deepEqual(await openSpools(), before, 'three of four are not enough');

    for (const bytes of blobs.slice(3)) await fetchAll(spool, [bytes]);
    const [file] = (await openSpools()).filter((one) => !before.includes(one));
    const written = await readFile(file!);
    await writeFile(file!, inverted(written));
    const again = await fetchAll(spool, blobs);

    assert.deepEqual(written, Buffer.concat(blobs.slice(0, 8)), 'two sets, as they came');
    assert.equal(again.asked, 0);
    assert.deepEqual(again.given, [...blobs.slice(0, 4).map(inverted), ...blobs.slice(4)]);
  });

  it('is whole however many come at once', async (t) => {
    const { spool } = aSpool(t, size, HELD);
    const blobs = Array.from({ length: 150 }, () => randomBytes(size));

    assert.deepEqual(await fetchAll(spool, blobs), { given: blobs, asked: blobs.length });
    assert.deepEqual(await fetchAll(spool, blobs), { given: blobs, asked: 0 });
  });

  it('is given also where the disk takes nothing, as long as it is held', async (t) => {
    const file = join(folder, 'a-file');
    await writeFile(file, '');
    const broken: unknown[] = [];
    const spool = new Spool(join(file, 'below'), (error) => broken.push(error), HELD);
    t.after(() => spool.close());
    const blobs = Array.from({ length: 8 }, () => randomBytes(size));

    await fetchAll(spool, blobs.slice(0, 3));
    assert.equal(broken.length, 0);
    await fetchAll(spool, blobs.slice(3));
    assert.equal(broken.length, 2);
    assert.deepEqual(await fetchAll(spool, blobs), { given: blobs, asked: 4 });
  });
});

const inverted = (bytes: Buffer): Buffer => Buffer.from(bytes.map((byte) => byte ^ 0xff));

/** The files of all spools of this process: they have no other name. */
async function openSpools(): Promise<string[]> {
  const all = (await readdir('/proc/self/fd')).map((fd) => `/proc/self/fd/${fd}`);
  const targets = await Promise.all(all.map((file) => readlink(file).catch(() => '')));
  return all.filter((_, at) => targets[at]!.includes('/.spool-'));
}

function aSpool(t: { after(end: () => void): void }, size: number, bounds = BOUNDS) {
  const spool = new Spool(folder, (error) => assert.fail(String(error)), bounds);
  t.after(() => spool.close());
  const bytes = randomBytes(size);
  return { spool, bytes, blob: { size, sha256: sha256Of(bytes) } };
}

function anOrigin(bytes: Buffer, pace: 'at once' | 'held' = 'at once') {
  const gate = Promise.withResolvers<void>();
  if (pace === 'at once') gate.resolve();
  const origin = {
    asked: 0,
    stopped: false,
    go: () => gate.resolve(),
    fetch: async (signal: AbortSignal) => {
      origin.asked += 1;
      signal.addEventListener('abort', () => {
        origin.stopped = true;
        gate.reject(new Error('stopped'));
      });
      await Promise.resolve();
      return (async function* () {
        await gate.promise;
        for (let at = 0; at < bytes.length; at += 3_000) yield bytes.subarray(at, at + 3_000);
      })();
    },
  };
  return origin;
}

async function bytesOf(opened: Spooled | null): Promise<Buffer> {
  assert.ok(opened !== null);
  return Buffer.concat(await Array.fromAsync(opened.bytes));
}
