/** What SiteStore promises of sites that fail, and of callers that end. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { it } from 'node:test';

import type { DebgeoError, ErrorCode } from '../../src/domain/errors.ts';
import { refusesWith } from '../support/refuses-with.ts';
import { assertBytes, contentOf, fresh, NEVER, type Under } from './store-under-test.ts';

/** Each request ends by itself, and says why. */
export function slowSites(under: Under): void {
  it('ends every kind of request that is never answered', async () => {
    const site = under();
    const { store, proxy } = site;
    const path = fresh();
    await proxy.setRules([{ fault: { kind: 'hang' } }]);
    const calls = [
      store.put(path, contentOf(Buffer.from('x')), 'nothing', NEVER),
      store.put(path, contentOf(randomBytes(site.putBytes + 1)), 'nothing', NEVER),
      store.checksum(path, NEVER),
      store.open(path, NEVER),
      store.remove(path, '"0x1"', NEVER),
    ];

    await Promise.all(calls.map((call) => assert.rejects(call, refusesWith('SITE_STALLED'))));
  });

  it('ends a download that stops in the middle, and says that it was a stall', async () => {
    const { store, proxy } = under();
    const path = fresh();
    await store.put(path, contentOf(randomBytes(200_000)), 'nothing', NEVER);
    await proxy.setRules([{ method: 'GET', fault: { kind: 'stall', bytes: 70_000 } }]);

    await assert.rejects(store.checksum(path, NEVER), refusesWith('SITE_STALLED'));
  });

  it('does not take slow consumers for a stall', async () => {
    const { store } = under();
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

  it('gives up on a connection slower than the least rate', async () => {
    const { store, proxy } = under();
    const path = fresh();
    await store.put(path, contentOf(randomBytes(150_000)), 'nothing', NEVER);
    await proxy.setRules([{ method: 'GET', fault: { kind: 'rate', bytesPerSecond: 20_000 } }]);

    await assert.rejects(store.checksum(path, NEVER), refusesWith('SITE_STALLED'));
  });
}

/** A throttled site is left alone as long as it asks for. */
export function throttledSites(under: Under): void {
  it('says throttled with the time to wait, after one request', async () => {
    const { store, proxy } = under();
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
            refusesWith('SITE_THROTTLED')(error) &&
            (error as DebgeoError).report.retryAfterMs === 7000,
        );
        assert.equal((await proxy.requests()).length, 1);
      }
    }
  });

  it('waits for a short while that a throttled site asks for, and sends again', async () => {
    const { store, proxy } = under();
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
    const { store, proxy } = under();
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
}

/** What statuses and broken connections mean. */
export function failures(under: Under): void {
  it('says unreachable for a truncated download and does not resume it', async () => {
    const { store, proxy } = under();
    const path = fresh();
    await store.put(path, contentOf(randomBytes(200_000)), 'nothing', NEVER);
    await proxy.setRules([{ method: 'GET', fault: { kind: 'truncate', bytes: 70_000 } }]);
    await proxy.clear();

    await assert.rejects(store.checksum(path, NEVER), refusesWith('SITE_UNREACHABLE'));
    const opened = await store.open(path, NEVER);
    await assert.rejects(Array.fromAsync(opened!.bytes), refusesWith('SITE_UNREACHABLE'));

    assert.equal((await proxy.requests()).length, 2);
  });

  it('says what other statuses mean', async () => {
    const { store, proxy } = under();
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
        refusesWith(expected),
        `put ${status} ${code}`,
      );
      await assert.rejects(
        store.checksum(fresh(), NEVER),
        refusesWith(expected),
        `checksum ${status} ${code}`,
      );
    }
  });

  it('says unreachable when connections are cut or refused', async () => {
    const { store, proxy } = under();
    const path = fresh();
    await proxy.setRules([{ fault: { kind: 'cut' } }]);
    await assert.rejects(store.checksum(path, NEVER), refusesWith('SITE_UNREACHABLE'));
    await assert.rejects(
      store.put(path, contentOf(Buffer.from('x')), 'nothing', NEVER),
      refusesWith('SITE_UNREACHABLE'),
    );

    await proxy.refuse(true);
    try {
      await assert.rejects(store.checksum(path, NEVER), refusesWith('SITE_UNREACHABLE'));
    } finally {
      await proxy.refuse(false);
    }
  });
}

/** A caller that ends gets its own reason. */
export function callers(under: Under): void {
  it("ends with the caller's own reason, never as a stall", async () => {
    const { store, proxy } = under();
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
    const { store } = under();
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
}
