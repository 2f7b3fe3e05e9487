import assert from 'node:assert/strict';
import test from 'node:test';

import type { RepoPath } from '../../../src/domain/repo-path.ts';
import { sha256Of } from '../../../src/domain/sha256.ts';
import type { SiteStore } from '../../../src/site/site-store.ts';
import { counting, Killed, mortal } from '../stores.ts';
import { aPackage, startLanes, type Lanes } from './lanes.ts';

const SITES = ['s0', 's1', 's2', 's3', 's4', 's5', 's6', 's7'];
const never = new AbortController().signal;

/**
 * What readers of this site hold is whole: it is one release, and everything that this release
 * names is there.
 */
async function assertWhole(lanes: Lanes, store: SiteStore, what: string): Promise<void> {
  const seen = await store.checksum('debian/dists/bookworm/InRelease' as RepoPath, never);
  assert.ok(seen !== null && seen !== 'changed', `${what}: InRelease is there`);
  const isServed = (file: { path: string; bytes: Uint8Array }) =>
    file.path.endsWith('/InRelease') && sha256Of(file.bytes) === seen.sha256;
  const served = lanes.released.find((content) => content?.files.some(isServed));
  assert.ok(served, `${what}: InRelease is one of those released`);
  for (const file of served.files) {
    if (file.kind !== 'pool' && file.kind !== 'by-hash') continue;
    const found = await store.checksum(`debian/${file.path}` as RepoPath, never);
    assert.ok(
      found !== null && found !== 'changed' && found.sha256 === sha256Of(file.bytes),
      `${what}: ${file.path} is there`,
    );
  }
}

test('a kill before or after any call of a site tears nothing and repeats no write', async (t) => {
  const lanes = await startLanes(t, { sites: SITES });
  const stable = aPackage('stable', '1.0');
  const counted = new Map(SITES.map((name) => [name, counting(lanes.site(name).store)]));
  const storeOf = (name: string) => new Map([[name, counted.get(name)!.store]]);
  const next = async (version: number) =>
    lanes.capture([stable, aPackage('hello', `${version}.0`)]);
  const first = await next(1);
  await Promise.all(
    SITES.map((name) => lanes.replicate(first, name, lanes.activities({ stores: storeOf(name) }))),
  );

  const probe = mortal(
    { store: counted.get('s0')!.store, database: lanes.database },
    { at: Infinity, when: 'before' },
  );
  const second = await next(2);
  await lanes.replicate(second, 's0', lanes.activities({ stores: new Map([['s0', probe.store]]) }));
  const calls = probe.calls();
  assert.ok(calls > 10);

  const kills = Array.from({ length: calls }, (_, index) => index + 1).flatMap((at) => [
    { at, when: 'before' as const },
    { at, when: 'after' as const },
  ]);
  for (let version = 3; kills.length > 0; version += 1) {
    const generation = await next(version);
    const round = SITES.map((name) => ({ name, kill: kills.shift() })).filter(
      (one) => one.kill !== undefined,
    );
    await Promise.all(
      round.map(async ({ name, kill }) => {
        const what = `${name}, killed ${kill!.when} call ${kill!.at} of ${calls}`;
        const { store } = counted.get(name)!;
        counted.get(name)!.take();
        const victim = mortal({ store, database: lanes.database }, kill!);
        const doomed = lanes.activities({
          stores: new Map([[name, victim.store]]),
          database: victim.database,
        });

        await assert.rejects(lanes.replicate(generation, name, doomed), Killed, what);
        await assertWhole(lanes, store, what);
        const { row } = await lanes.replicate(
          generation,
          name,
          lanes.activities({ stores: storeOf(name) }),
        );

        assert.equal(row.served, generation, what);
        assert.equal(row.state, 'synced', what);
        await assertWhole(lanes, store, what);
        const twice = [...counted.get(name)!.take()].filter(([, count]) => count > 1);
        assert.deepEqual(twice, [], what);
      }),
    );
  }
});
