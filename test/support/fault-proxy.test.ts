import assert from 'node:assert/strict';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';

import { spawnFaultProxy, startFaultProxy, type FaultProxy } from './fault-proxy.ts';

const BODY = 'a'.repeat(100_000);

for (const [where, start] of [
  ['in this process', startFaultProxy],
  ['as a child', spawnFaultProxy],
] as const) {
  describe(`the fault proxy ${where}`, () => {
    let target: http.Server;
    let asked = 0;
    let proxy: FaultProxy;

    before(async () => {
      target = http.createServer((request, response) => {
        asked += 1;
        const chunks: Buffer[] = [];
        request.on('data', (chunk: Buffer) => chunks.push(chunk));
        request.on('end', () =>
          response
            .writeHead(request.url === '/absent' ? 404 : 200)
            .end(request.method === 'PUT' ? Buffer.concat(chunks) : BODY),
        );
      });
      await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve));
      proxy = await start(`http://127.0.0.1:${(target.address() as AddressInfo).port}`);
    });
    after(async () => {
      await proxy.close();
      target.closeAllConnections();
      target.close();
    });

    it('forwards and lists', async () => {
      assert.equal(await (await fetch(`${proxy.origin}/x?comp=block`)).text(), BODY);
      assert.equal((await fetch(`${proxy.origin}/absent`, { method: 'HEAD' })).status, 404);

      assert.deepEqual(await proxy.requests(), [
        { method: 'GET', path: '/x', query: '?comp=block', done: 200, status: 200, fault: null },
        { method: 'HEAD', path: '/absent', query: '', done: 404, status: 404, fault: null },
      ]);
      await proxy.clear();
      assert.deepEqual(await proxy.requests(), []);
    });

    it('hits only what the rule says', async () => {
      await proxy.setRules([
        {
          method: 'GET',
          target: '^/hit',
          skip: 1,
          times: 1,
          fault: { kind: 'answer', status: 429, headers: { 'retry-after': '3' } },
        },
      ]);
      const statuses: number[] = [];
      for (const path of ['/hit', '/miss', '/hit', '/hit']) {
        const answer = await fetch(`${proxy.origin}${path}`);
        await answer.text();
        statuses.push(answer.status);
      }

      assert.deepEqual(statuses, [200, 200, 429, 200]);
    });

    it('lets the target do what it then does not tell', async () => {
      await proxy.setRules([{ fault: { kind: 'drop' } }]);
      await proxy.clear();
      asked = 0;

      await assert.rejects(fetch(`${proxy.origin}/x`, { method: 'PUT', body: 'y' }));

      assert.equal(asked, 1);
      assert.deepEqual(
        (await proxy.requests()).map(({ done, status }) => ({ done, status })),
        [{ done: 200, status: null }],
      );
    });

    it('asks the target for nothing when it cuts, hangs or refuses', async () => {
      asked = 0;
      await proxy.setRules([{ fault: { kind: 'cut' } }]);
      await assert.rejects(fetch(`${proxy.origin}/x`));
      await proxy.setRules([{ fault: { kind: 'hang' } }]);
      await assert.rejects(fetch(`${proxy.origin}/x`, { signal: AbortSignal.timeout(200) }));
      await proxy.setRules([]);
      await proxy.refuse(true);
      await assert.rejects(fetch(`${proxy.origin}/x`));
      assert.equal(asked, 0);

      await proxy.refuse(false);
      assert.equal((await fetch(`${proxy.origin}/x`)).status, 200);
    });

    it('truncates, stalls, flips, delays and slows bodies', async () => {
      await proxy.setRules([{ fault: { kind: 'truncate', bytes: 50 } }]);
      const cut = await fetch(`${proxy.origin}/x`);
      await assert.rejects(cut.text());

      await proxy.setRules([{ fault: { kind: 'stall', bytes: 50 } }]);
      const stalled = await fetch(`${proxy.origin}/x`, { signal: AbortSignal.timeout(300) });
      let received = 0;
      await assert.rejects(async () => {
        for await (const chunk of stalled.body!) received += chunk.length;
      });
      assert.equal(received, 50);

      await proxy.setRules([{ fault: { kind: 'flip', in: 'answer' } }]);
      assert.equal(await (await fetch(`${proxy.origin}/x`)).text(), `\`${BODY.slice(1)}`);
      await proxy.setRules([{ fault: { kind: 'flip', in: 'request' } }]);
      assert.equal(
        await (await fetch(`${proxy.origin}/x`, { method: 'PUT', body: 'abc' })).text(),
        '`bc',
      );

      await proxy.setRules([{ fault: { kind: 'delay', ms: 200 } }]);
      assert.ok((await millisecondsOf(`${proxy.origin}/x`)) >= 190);
      await proxy.setRules([{ fault: { kind: 'rate', bytesPerSecond: 400_000 } }]);
      assert.ok((await millisecondsOf(`${proxy.origin}/x`)) >= 190);
    });
  });
}

async function millisecondsOf(url: string): Promise<number> {
  const start = performance.now();
  assert.equal(await (await fetch(url)).text(), BODY);
  return performance.now() - start;
}
