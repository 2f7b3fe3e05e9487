/**
 * What every SiteStore promises. A site for it is a store that splits above `putBytes`, a proxy
 * through which all of its requests go, and a way to look behind it.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';

import { DebgeoError, type ErrorCode } from '../../src/domain/errors.ts';
import { parseRepoPath, type RepoPath } from '../../src/domain/repo-path.ts';
import { sha256Of } from '../../src/domain/sha256.ts';
import type { BlobContent, SiteStore, Written } from '../../src/site/site-store.ts';
import type { FaultProxy } from '../support/fault-proxy.ts';

export interface StoreUnderTest {
  readonly store: SiteStore;
  readonly proxy: FaultProxy;
  /** Of the store's injected limits. */
  readonly putBytes: number;
  /** What is at a path, not through the store. */
  read(path: RepoPath): Promise<{
    bytes: Buffer;
    contentType: string | undefined;
    cacheControl: string | undefined;
    md5: Buffer | undefined;
  } | null>;
  /**
   * Replaces the bytes behind the store's back, keeping every header that claims something about
   * them.
   */
  tamper(path: RepoPath, bytes: Buffer): Promise<void>;
  stop(): Promise<void>;
}

const NEVER = new AbortController().signal;

export const contentOf = (bytes: Buffer, pieceBytes = 10_000): BlobContent => ({
  size: bytes.length,
  sha256: sha256Of(bytes),
  bytes: inPieces(bytes, pieceBytes),
  contentType: 'application/octet-stream',
  cacheControl: 'no-cache',
});

async function* inPieces(bytes: Buffer, pieceBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

export const hasCode = (code: ErrorCode) => (error: unknown) =>
  error instanceof DebgeoError && error.code === code;

/** By digest: the difference of two large buffers takes assert minutes to print. */
const assertBytes = (actual: Buffer | undefined, expected: Buffer | undefined) =>
  assert.equal(
    actual === undefined ? 'nothing' : sha256Of(actual),
    expected === undefined ? 'nothing' : sha256Of(expected),
  );

const written = (outcome: Written | 'conflict'): Written => {
  assert.notEqual(outcome, 'conflict');
  return outcome as Written;
};

export function siteStoreContract(title: string, start: () => Promise<StoreUnderTest>): void {
  describe(title, () => {
    let site: StoreUnderTest;
    let store: SiteStore;
    let proxy: FaultProxy;
    let count = 0;
    const fresh = () => parseRepoPath(`debian/pool/main/f/file_${++count}_amd64.deb`);

    before(async () => {
      site = await start();
      ({ store, proxy } = site);
    });
    after(() => site?.stop());
    beforeEach(() => proxy.setRules([]));

    /** Both ways of writing: one request, and blocks (more than two, the last one short). */
    const both: readonly [string, () => Buffer][] = [
      ['in one request', () => randomBytes(site.putBytes)],
      ['in blocks', () => randomBytes(site.putBytes * 2 + 17)],
    ];

    for (const [way, make] of both) {
      it(`writes ${way} what checksum then reads`, async () => {
        const path = fresh();
        const bytes = make();

        const first = written(await store.put(path, contentOf(bytes), 'nothing', NEVER));
        const read = await store.checksum(path, NEVER, first.etag);

        assert.deepEqual(read, {
          etag: first.etag,
          size: bytes.length,
          sha256: sha256Of(bytes),
          lastModified: first.lastModified,
        });
        assert.ok(first.siteClock >= first.lastModified);
        const seen = await site.read(path);
        assertBytes(seen?.bytes, bytes);
        assert.equal(seen?.contentType, 'application/octet-stream');
        assert.equal(seen?.cacheControl, 'no-cache');
        assert.deepEqual(seen?.md5, createHash('md5').update(bytes).digest());
      });

      it(`answers conflict ${way} where something is, and leaves it`, async () => {
        const path = fresh();
        const [old, other] = [make(), make()];
        await store.put(path, contentOf(old), 'nothing', NEVER);

        const outcome = await store.put(path, contentOf(other), 'nothing', NEVER);

        assert.equal(outcome, 'conflict');
        assertBytes((await site.read(path))?.bytes, old);
      });

      it(`replaces ${way} only the version that is expected`, async () => {
        const path = fresh();
        const [one, two, three] = [make(), make(), make()];
        const first = written(await store.put(path, contentOf(one), 'nothing', NEVER));
        const second = written(await store.put(path, contentOf(two), { etag: first.etag }, NEVER));

        const late = await store.put(path, contentOf(three), { etag: first.etag }, NEVER);

        assert.notEqual(second.etag, first.etag);
        assert.equal(late, 'conflict');
        assertBytes((await site.read(path))?.bytes, two);
      });

      it(`answers conflict ${way} when a version is expected and nothing is there`, async () => {
        const path = fresh();

        const outcome = await store.put(
          path,
          contentOf(make()),
          { etag: '"0x8DC0FFEE0000000"' },
          NEVER,
        );

        assert.equal(outcome, 'conflict');
        assert.equal(await site.read(path), null);
      });

      it(`shows nothing of wrong bytes given ${way}`, async () => {
        const right = make();
        const wrong: readonly Buffer[] = [
          Buffer.concat([right.subarray(0, -1), Buffer.of(right.at(-1)! ^ 1)]),
          right.subarray(0, -1),
          Buffer.concat([right, Buffer.of(0)]),
        ];
        for (const bytes of wrong) {
          const path = fresh();

          const attempt = store.put(
            path,
            { ...contentOf(right), bytes: inPieces(bytes, 10_000) },
            'nothing',
            NEVER,
          );

          await assert.rejects(attempt, hasCode('BLOB_MISMATCH'));
          assert.equal(await site.read(path), null);
          assert.equal(await store.checksum(path, NEVER), null);
        }
      });

      it(`keeps what is there when wrong bytes shall replace it ${way}`, async () => {
        const path = fresh();
        const old = make();
        const first = written(await store.put(path, contentOf(old), 'nothing', NEVER));

        const attempt = store.put(
          path,
          { ...contentOf(make()), bytes: inPieces(old, 10_000) },
          { etag: first.etag },
          NEVER,
        );

        await assert.rejects(attempt, hasCode('BLOB_MISMATCH'));
        assertBytes((await site.read(path))?.bytes, old);
      });

      it(`asks once more ${way} when a connection breaks instead of an answer, and meets its own write`, async () => {
        const path = fresh();
        const bytes = make();
        const last = way === 'in blocks' ? 'comp=blocklist' : '.';
        await proxy.setRules([{ method: 'PUT', target: last, times: 1, fault: { kind: 'drop' } }]);

        const outcome = await store.put(path, contentOf(bytes), 'nothing', NEVER);

        assert.equal(outcome, 'conflict');
        assertBytes((await site.read(path))?.bytes, bytes);
      });

      it(`finds its own write ${way} after two answers were lost`, async () => {
        const path = fresh();
        const bytes = make();
        const last = way === 'in blocks' ? 'comp=blocklist' : '.';
        await proxy.setRules([{ method: 'PUT', target: last, times: 2, fault: { kind: 'drop' } }]);

        await assert.rejects(
          store.put(path, contentOf(bytes), 'nothing', NEVER),
          hasCode('SITE_UNREACHABLE'),
        );
        const again = await store.put(path, contentOf(bytes), 'nothing', NEVER);
        const look = await store.checksum(path, NEVER);

        assert.equal(again, 'conflict');
        assert.ok(look !== null && look !== 'changed');
        assert.equal(look.sha256, sha256Of(bytes));
      });

      it(`lets exactly one of many writers ${way} win, whole`, async () => {
        const path = fresh();
        const candidates = Array.from({ length: 6 }, make);

        const outcomes = await Promise.all(
          candidates.map((bytes) => store.put(path, contentOf(bytes), 'nothing', NEVER)),
        );

        const winners = candidates.filter((_, i) => outcomes[i] !== 'conflict');
        assert.equal(winners.length, 1);
        assertBytes((await site.read(path))?.bytes, winners[0]);
      });

      it(`lets no byte through that changed on the way ${way}`, async () => {
        const path = fresh();
        await proxy.setRules([{ method: 'PUT', fault: { kind: 'flip', in: 'request' } }]);

        await assert.rejects(
          store.put(path, contentOf(make()), 'nothing', NEVER),
          hasCode('SITE_UNREACHABLE'),
        );
        assert.equal(await site.read(path), null);
      });

      it(`passes on the error of the source ${way} and writes nothing`, async () => {
        const path = fresh();
        const bytes = make();
        const broken = new Error('the source broke off');
        async function* breaking() {
          yield bytes.subarray(0, bytes.length - 1);
          throw broken;
        }

        await assert.rejects(
          store.put(path, { ...contentOf(bytes), bytes: breaking() }, 'nothing', NEVER),
          broken,
        );
        assert.equal(await site.read(path), null);
      });
    }

    it('writes an empty file', async () => {
      const path = fresh();

      await store.put(path, contentOf(Buffer.alloc(0)), 'nothing', NEVER);

      assertBytes((await site.read(path))?.bytes, Buffer.alloc(0));
    });

    it('keeps the spelling of names with + ~ % : spaces and letters beyond ASCII', async () => {
      for (const name of [
        'g++_1.0+b1~rc_amd64.deb',
        'x_1%3a2.0_all.deb',
        'x_1:2.0_all.deb',
        'a b.deb',
        'grün.deb',
        "it's(1)!*.deb",
        '@&=;,$.deb',
      ]) {
        const path = parseRepoPath(`debian/pool/main/n/${name}`);
        const bytes = Buffer.from(name);

        await store.put(path, contentOf(bytes), 'nothing', NEVER);
        const read = await store.checksum(path, NEVER);

        assert.ok(read !== null && read !== 'changed');
        assert.equal(read.sha256, sha256Of(bytes));
        assertBytes((await site.read(path))?.bytes, bytes);
      }
    });

    it('requests nothing for a path that would leave the prefix', async () => {
      const hostile = [
        '../other/x',
        '../../other/x',
        '../../../../x',
        'debian/../../x',
        'debian/./x',
        'debian/..',
        '..\\other\\x',
        './x',
        'a\\b',
      ];
      await proxy.clear();
      for (const text of hostile) {
        const path = text as RepoPath;

        await assert.rejects(
          store.put(path, contentOf(Buffer.from('EVIL')), 'nothing', NEVER),
          hasCode('HOSTILE_PATH'),
          text,
        );
        await assert.rejects(store.checksum(path, NEVER), hasCode('HOSTILE_PATH'), text);
        await assert.rejects(store.open(path, NEVER), hasCode('HOSTILE_PATH'), text);
        await assert.rejects(store.remove(path, '"0x1"', NEVER), hasCode('HOSTILE_PATH'), text);
      }
      assert.deepEqual(await proxy.requests(), []);
    });

    it('hashes the bytes that are there, whatever headers and metadata claim', async () => {
      const path = fresh();
      await store.put(path, contentOf(Buffer.from('what was promised')), 'nothing', NEVER);
      await site.tamper(path, Buffer.from('what was promisec'));

      const read = await store.checksum(path, NEVER);

      assert.ok(read !== null && read !== 'changed');
      assert.equal(read.sha256, sha256Of(Buffer.from('what was promisec')));
    });

    it('says changed when another version is there, null when none is', async () => {
      const path = fresh();
      const first = written(await store.put(path, contentOf(Buffer.from('one')), 'nothing', NEVER));
      const second = written(
        await store.put(path, contentOf(Buffer.from('two')), { etag: first.etag }, NEVER),
      );

      assert.equal(await store.checksum(path, NEVER, first.etag), 'changed');
      assert.equal(await store.remove(path, second.etag, NEVER), 'gone');
      assert.equal(await store.checksum(path, NEVER, second.etag), null);
      assert.equal(await store.checksum(path, NEVER), null);
      assert.equal(await store.open(path, NEVER), null);
    });

    it('opens one version for streaming', async () => {
      const path = fresh();
      const bytes = randomBytes(300_000);
      const first = written(await store.put(path, contentOf(bytes), 'nothing', NEVER));

      const opened = await store.open(path, NEVER);

      assert.equal(opened?.etag, first.etag);
      assert.equal(opened?.size, bytes.length);
      assertBytes(Buffer.concat(await Array.fromAsync(opened!.bytes)), bytes);
    });

    it('deletes the version named and no other; gone stays gone', async () => {
      const path = fresh();
      const first = written(await store.put(path, contentOf(Buffer.from('one')), 'nothing', NEVER));
      const second = written(
        await store.put(path, contentOf(Buffer.from('two')), { etag: first.etag }, NEVER),
      );

      assert.equal(await store.remove(path, first.etag, NEVER), 'conflict');
      assertBytes((await site.read(path))?.bytes, Buffer.from('two'));
      assert.equal(await store.remove(path, second.etag, NEVER), 'gone');
      assert.equal(await store.remove(path, second.etag, NEVER), 'gone');
      assert.equal(await site.read(path), null);
    });

    it('ends every kind of request that is never answered', async () => {
      const path = fresh();
      await proxy.setRules([{ fault: { kind: 'hang' } }]);
      const calls = [
        store.put(path, contentOf(Buffer.from('x')), 'nothing', NEVER),
        store.put(path, contentOf(randomBytes(site.putBytes + 1)), 'nothing', NEVER),
        store.checksum(path, NEVER),
        store.open(path, NEVER),
        store.remove(path, '"0x1"', NEVER),
      ];

      await Promise.all(calls.map((call) => assert.rejects(call, hasCode('SITE_STALLED'))));
    });

    it('ends a download that stops in the middle, and says that it was a stall', async () => {
      const path = fresh();
      await store.put(path, contentOf(randomBytes(200_000)), 'nothing', NEVER);
      await proxy.setRules([{ method: 'GET', fault: { kind: 'stall', bytes: 70_000 } }]);

      await assert.rejects(store.checksum(path, NEVER), hasCode('SITE_STALLED'));
    });

    it('does not take slow consumers for a stall', async () => {
      const path = fresh();
      const bytes = randomBytes(400_000);
      await store.put(path, contentOf(bytes), 'nothing', NEVER);
      const opened = await store.open(path, NEVER);

      const chunks: Uint8Array[] = [];
      for await (const chunk of opened!.bytes) {
        if (chunks.length === 0) await new Promise((resolve) => setTimeout(resolve, 1_500));
        chunks.push(chunk);
      }

      assertBytes(Buffer.concat(chunks), bytes);
    });

    it('says unreachable for a truncated download and does not resume it', async () => {
      const path = fresh();
      await store.put(path, contentOf(randomBytes(200_000)), 'nothing', NEVER);
      await proxy.setRules([{ method: 'GET', fault: { kind: 'truncate', bytes: 70_000 } }]);
      await proxy.clear();

      await assert.rejects(store.checksum(path, NEVER), hasCode('SITE_UNREACHABLE'));
      const opened = await store.open(path, NEVER);
      await assert.rejects(Array.fromAsync(opened!.bytes), hasCode('SITE_UNREACHABLE'));

      assert.equal((await proxy.requests()).length, 2);
    });

    it('says throttled with the time to wait, after one request', async () => {
      const path = fresh();
      for (const status of [429, 503]) {
        await proxy.setRules([
          { fault: { kind: 'answer', status, headers: { 'retry-after': '7' } } },
        ]);
        const calls = [
          () => store.put(path, contentOf(Buffer.from('x')), 'nothing', NEVER),
          () => store.checksum(path, NEVER),
          () => store.remove(path, '"0x1"', NEVER),
        ];
        for (const call of calls) {
          await proxy.clear();

          await assert.rejects(
            call,
            (error) =>
              hasCode('SITE_THROTTLED')(error) &&
              (error as DebgeoError).report.retryAfterMs === 7000,
          );
          assert.equal((await proxy.requests()).length, 1);
        }
      }
    });

    it('waits for a short while that a throttled site asks for, and sends again', async () => {
      const path = fresh();
      await proxy.setRules([
        { times: 1, fault: { kind: 'answer', status: 503, headers: { 'retry-after': '1' } } },
      ]);
      await proxy.clear();
      const from = performance.now();

      const outcome = await store.put(path, contentOf(Buffer.from('x')), 'nothing', NEVER);

      assert.notEqual(outcome, 'conflict');
      assert.ok(performance.now() - from > 900, 'not before it said');
      assert.deepEqual(
        (await proxy.requests()).map(({ status }) => status),
        [503, 201],
      );
    });

    it('ends while it waits for a throttled site, when the caller does', async () => {
      await proxy.setRules([
        { fault: { kind: 'answer', status: 503, headers: { 'retry-after': '1' } } },
      ]);
      const stop = new AbortController();
      const call = store.checksum(fresh(), stop.signal);
      while ((await proxy.requests()).length === 0)
        await new Promise((resolve) => setImmediate(resolve));

      stop.abort();

      await assert.rejects(call, { name: 'AbortError' });
    });

    it('says what other statuses mean', async () => {
      const cases: readonly [number, string, ErrorCode][] = [
        [500, 'OperationTimedOut', 'SITE_UNREACHABLE'],
        [502, '', 'SITE_UNREACHABLE'],
        [401, 'NoAuthenticationInformation', 'SITE_DENIED'],
        [403, 'AuthorizationPermissionMismatch', 'SITE_DENIED'],
        [404, 'ContainerNotFound', 'SITE_CONTAINER_MISSING'],
        [404, '', 'SITE_REFUSED'],
        [400, 'InvalidHeaderValue', 'SITE_REFUSED'],
        [409, 'BlobArchived', 'SITE_REFUSED'],
        [412, 'LeaseIdMissing', 'SITE_REFUSED'],
      ];
      for (const [status, code, expected] of cases) {
        const headers: Record<string, string> = code === '' ? {} : { 'x-ms-error-code': code };
        await proxy.setRules([{ fault: { kind: 'answer', status, headers } }]);

        await assert.rejects(
          store.put(fresh(), contentOf(Buffer.from('x')), 'nothing', NEVER),
          hasCode(expected),
          `put ${status} ${code}`,
        );
        await assert.rejects(
          store.checksum(fresh(), NEVER),
          hasCode(expected),
          `checksum ${status} ${code}`,
        );
      }
    });

    it('says unreachable when connections are cut or refused', async () => {
      const path = fresh();
      await proxy.setRules([{ fault: { kind: 'cut' } }]);
      await assert.rejects(store.checksum(path, NEVER), hasCode('SITE_UNREACHABLE'));
      await assert.rejects(
        store.put(path, contentOf(Buffer.from('x')), 'nothing', NEVER),
        hasCode('SITE_UNREACHABLE'),
      );

      await proxy.refuse(true);
      try {
        await assert.rejects(store.checksum(path, NEVER), hasCode('SITE_UNREACHABLE'));
      } finally {
        await proxy.refuse(false);
      }
    });

    it("ends with the caller's own reason, never as a stall", async () => {
      const path = fresh();
      await store.put(path, contentOf(randomBytes(200_000)), 'nothing', NEVER);
      const reason = new Error('cancelled by an operator');

      await assert.rejects(store.checksum(path, AbortSignal.abort(reason)), reason);
      await assert.rejects(
        store.put(fresh(), contentOf(Buffer.from('x')), 'nothing', AbortSignal.abort(reason)),
        reason,
      );

      await proxy.setRules([
        { method: 'PUT', fault: { kind: 'hang' } },
        { method: 'GET', fault: { kind: 'stall', bytes: 70_000 } },
      ]);
      const during = new AbortController();
      const put = store.put(fresh(), contentOf(Buffer.from('x')), 'nothing', during.signal);
      const read = store.checksum(path, during.signal);
      setTimeout(() => during.abort(reason), 100);
      await Promise.all([assert.rejects(put, reason), assert.rejects(read, reason)]);
    });

    it('ends with the reason of the caller also between two chunks', async () => {
      const path = fresh();
      await store.put(path, contentOf(randomBytes(400_000)), 'nothing', NEVER);
      const reason = new Error('cancelled by an operator');
      const controller = new AbortController();
      const opened = await store.open(path, controller.signal);

      const reading = (async () => {
        for await (const _ of opened!.bytes) controller.abort(reason);
      })();

      await assert.rejects(reading, reason);
    });

    it('gives up on a connection slower than the least rate', async () => {
      const path = fresh();
      await store.put(path, contentOf(randomBytes(150_000)), 'nothing', NEVER);
      await proxy.setRules([{ method: 'GET', fault: { kind: 'rate', bytesPerSecond: 20_000 } }]);

      await assert.rejects(store.checksum(path, NEVER), hasCode('SITE_STALLED'));
    });
  });
}
