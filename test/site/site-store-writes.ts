/** What SiteStore promises of writing, whole and in blocks. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { it } from 'node:test';

import { sha256Of } from '../../src/domain/sha256.ts';
import { refusesWith } from '../support/refuses-with.ts';
import {
  assertBytes,
  bothWays,
  contentOf,
  fresh,
  inPieces,
  NEVER,
  written,
  type Under,
} from './store-under-test.ts';

/** A write happens if what is there is what is expected. */
export function conditionalWrites(under: Under): void {
  for (const [way, make] of bothWays(under)) {
    it(`writes ${way} what checksum then reads`, async () => {
      const site = under();
      const { store } = site;
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
      const site = under();
      const { store } = site;
      const path = fresh();
      const [old, other] = [make(), make()];
      await store.put(path, contentOf(old), 'nothing', NEVER);

      const outcome = await store.put(path, contentOf(other), 'nothing', NEVER);

      assert.equal(outcome, 'conflict');
      assertBytes((await site.read(path))?.bytes, old);
    });

    it(`replaces ${way} only the version that is expected`, async () => {
      const site = under();
      const { store } = site;
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
      const site = under();
      const { store } = site;
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
  }
}

/** Nothing becomes visible before its bytes are right. */
export function wrongBytes(under: Under): void {
  for (const [way, make] of bothWays(under)) {
    it(`shows nothing of wrong bytes given ${way}`, async () => {
      const site = under();
      const { store } = site;
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

        await assert.rejects(attempt, refusesWith('BLOB_MISMATCH'));
        assert.equal(await site.read(path), null);
        assert.equal(await store.checksum(path, NEVER), null);
      }
    });

    it(`keeps what is there when wrong bytes shall replace it ${way}`, async () => {
      const site = under();
      const { store } = site;
      const path = fresh();
      const old = make();
      const first = written(await store.put(path, contentOf(old), 'nothing', NEVER));

      const attempt = store.put(
        path,
        { ...contentOf(make()), bytes: inPieces(old, 10_000) },
        { etag: first.etag },
        NEVER,
      );

      await assert.rejects(attempt, refusesWith('BLOB_MISMATCH'));
      assertBytes((await site.read(path))?.bytes, old);
    });

    it(`lets no byte through that changed on the way ${way}`, async () => {
      const site = under();
      const { store, proxy } = site;
      const path = fresh();
      await proxy.setRules([{ method: 'PUT', fault: { kind: 'flip', in: 'request' } }]);

      await assert.rejects(
        store.put(path, contentOf(make()), 'nothing', NEVER),
        refusesWith('SITE_UNREACHABLE'),
      );
      assert.equal(await site.read(path), null);
    });

    it(`passes on the error of the source ${way} and writes nothing`, async () => {
      const site = under();
      const { store } = site;
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
}

/** What is there decides where an answer is lost or writers race. */
export function lostAnswers(under: Under): void {
  for (const [way, make] of bothWays(under)) {
    it(`asks once more ${way} when a connection breaks, and meets its own write`, async () => {
      const site = under();
      const { store, proxy } = site;
      const path = fresh();
      const bytes = make();
      const last = way === 'in blocks' ? 'comp=blocklist' : '.';
      await proxy.setRules([{ method: 'PUT', target: last, times: 1, fault: { kind: 'drop' } }]);

      const outcome = await store.put(path, contentOf(bytes), 'nothing', NEVER);

      assert.equal(outcome, 'conflict');
      assertBytes((await site.read(path))?.bytes, bytes);
    });

    it(`finds its own write ${way} after two answers were lost`, async () => {
      const { store, proxy } = under();
      const path = fresh();
      const bytes = make();
      const last = way === 'in blocks' ? 'comp=blocklist' : '.';
      await proxy.setRules([{ method: 'PUT', target: last, times: 2, fault: { kind: 'drop' } }]);

      await assert.rejects(
        store.put(path, contentOf(bytes), 'nothing', NEVER),
        refusesWith('SITE_UNREACHABLE'),
      );
      const again = await store.put(path, contentOf(bytes), 'nothing', NEVER);
      const look = await store.checksum(path, NEVER);

      assert.equal(again, 'conflict');
      assert.ok(look !== null && look !== 'changed');
      assert.equal(look.sha256, sha256Of(bytes));
    });

    it(`lets exactly one of many writers ${way} win, whole`, async () => {
      const site = under();
      const { store } = site;
      const path = fresh();
      const candidates = Array.from({ length: 6 }, make);

      const outcomes = await Promise.all(
        candidates.map((bytes) => store.put(path, contentOf(bytes), 'nothing', NEVER)),
      );

      const winners = candidates.filter((_, i) => outcomes[i] !== 'conflict');
      assert.equal(winners.length, 1);
      assertBytes((await site.read(path))?.bytes, winners[0]);
    });
  }
}
