/**
 * At least five kill -9 at seeded points of a sync of 2,000 blobs, while apt reads whole
 * distributions all the time. The witness is a proxy in front of each site.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { sql } from 'kysely';

import { LIMITS } from '../../src/domain/limits.ts';
import { NEEDS_APT } from '../support/needs.ts';
import { readAllTheTime } from '../support/readers.ts';
import { seeded } from '../support/seeded.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld, nudge, PLANTED_MS } from '../support/world.ts';

const BLOBS = 2_000;
const KILLS = 5;
const SEED = Number(process.env['DEBGEO_SEED'] ?? 20261123);

test(
  `a worker that is killed ${KILLS} times repeats nothing (seed ${SEED})`,
  { ...NEEDS_APT, timeout: 280_000 },
  async (t) => {
    const random = seeded(SEED);
    const world = await aWorld(t, { worker: 'child', sliceMs: 1_500 });
    const first = Array.from({ length: 20 }, (_, index) => aPackage(`first-${index}`, '1.0'));
    await world.release(first);
    await world.startWorkerIfGone();
    await world.update();
    const readers = await readAllTheTime(t, world);
    for (const site of world.sites.values()) await site.proxy.clear();

    // Slower than this machine is, so that seeded points fall into the copying and not behind it.
    for (const site of world.sites.values())
      await site.proxy.setRules([{ method: 'PUT', fault: { kind: 'delay', ms: 15 } }]);
    await world.release([
      ...first,
      ...Array.from({ length: BLOBS }, (_, index) =>
        aPackage(`many-${index}`, '1.0', randomBytes(200)),
      ),
    ]);
    await nudge(world);
    const points = Array.from({ length: KILLS }, () =>
      Math.floor((0.05 + 0.85 * random()) * BLOBS),
    ).sort((a, b) => a - b);
    const asked: Record<string, number>[] = [];
    for (const point of points) {
      const lane = random() < 0.5 ? 'fra' : 'sin';
      await world.until(
        ({ sites }) =>
          sites.some(
            (site) =>
              site.site === lane &&
              site.target === 2 &&
              (site.filesDone >= point || site.served === 2),
          ),
        `${lane} has ${point} files`,
        undefined,
        120_000,
      );
      await sleep(Math.floor(random() * 50));
      await world.killWorker();
      asked.push(await conflicts(world.sites));
      await world.startWorker();
    }
    await world.until(
      ({ sites }) => sites.every((site) => site.served === 2 && site.state === 'synced'),
      'generation 2 everywhere',
      undefined,
      120_000,
    );
    asked.push(await conflicts(world.sites));

    const cycles = await readers.stop();
    assert.deepEqual(cycles.failures, []);
    for (const [name, site] of world.sites) {
      const puts = (await site.proxy.requests()).filter(
        (request) => request.method === 'PUT' && /\/(pool|by-hash)\//.test(request.path),
      );
      const written = puts
        .filter((put) => put.done !== null && put.done >= 200 && put.done < 300)
        .map((put) => put.path);
      // What was under way when its worker was killed is there too, but the witness between them
      // may not have seen the answer: it sees it asked again.
      const there = new Set(
        puts.filter((put) => put.done === 409 || put.done === 412).map((put) => put.path),
      ).union(new Set(written));
      assert.ok(there.size >= BLOBS, `${there.size} files`);
      assert.equal(
        written.length,
        new Set(written).size,
        `${name}: a path got a second write that succeeded`,
      );
      for (const [kill, count] of asked.entries()) {
        const repeated = count[name]! - (asked[kill - 1]?.[name] ?? 0);
        assert.ok(
          repeated <= LIMITS.batchFiles,
          `${name}: ${repeated} writes were repeated after kill ${kill}: more than a batch`,
        );
      }
      const walk = await assertWhole(world, name);
      assert.equal((await world.siteStatus(name)).verified, walk.members);
    }
  },
);

test(
  'the witness sees it when what was committed is forgotten',
  { timeout: 120_000 },
  async (t) => {
    let forgot = false;
    const world = await aWorld(t, {
      sites: ['fra'],
      settleMs: PLANTED_MS,
      activities: (real, planted) => ({
        ...real,
        verifySnapshot: async (input) => {
          if (forgot) return real.verifySnapshot(input);
          forgot = true;
          await sql`update blob_registry set state = 0, verification_state = 0, etag = null`.execute(
            planted.database.read.kysely,
          );
          return { ...(await real.planSync(input)), repair: 1 };
        },
      }),
    });
    await world.release(
      Array.from({ length: LIMITS.batchFiles + 50 }, (_, index) =>
        aPackage(`many-${index}`, '1.0', randomBytes(200)),
      ),
    );
    await world.update();

    const counts = await conflicts(world.sites);
    assert.ok(
      counts['fra']! > LIMITS.batchFiles,
      `${counts['fra']} writes were repeated, and the bound of the promise would not see it`,
    );
  },
);

/** How many writes of immutable blobs were answered "exists already" so far, by site. */
const conflicts = async (
  sites: Iterable<
    [
      string,
      { proxy: { requests(): Promise<{ method: string; path: string; done: number | null }[]> } },
    ]
  >,
): Promise<Record<string, number>> => {
  const counts: Record<string, number> = {};
  for (const [name, { proxy }] of sites)
    counts[name] = (await proxy.requests()).filter(
      (request) =>
        request.method === 'PUT' &&
        /\/(pool|by-hash)\//.test(request.path) &&
        (request.done === 409 || request.done === 412),
    ).length;
  return counts;
};
