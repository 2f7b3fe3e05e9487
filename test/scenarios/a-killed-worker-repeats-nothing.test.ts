/**
 * At least five kill -9 at seeded points of a sync of 2,000 blobs, while apt reads whole
 * distributions all the time. The witness is a proxy in front of each site.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { sql } from 'kysely';

import { run } from '../../src/database/sql.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { blobWritesAt } from '../support/blob-writes.ts';
import { NEEDS_APT } from '../support/needs.ts';
import { readAllTheTime } from '../support/readers.ts';
import { seeded } from '../support/seeded.ts';
import { assertWhole } from '../support/whole.ts';
import type { WorldSite } from '../support/world-site.ts';
import { aPackage, aWorld, nudge, type World } from '../support/world.ts';

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
    const readers = await readAllTheTime(world);
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
    const conflicts = [];
    for (const point of points) {
      await killAt(world, point, random);
      conflicts.push(await conflictsBySite(world));
      await world.startWorker();
    }
    await world.until(
      ({ sites }) => sites.every((site) => site.served === 2 && site.state === 'synced'),
      'generation 2 everywhere',
      undefined,
      120_000,
    );
    conflicts.push(await conflictsBySite(world));

    const cycles = await readers.stop();
    assert.deepEqual(cycles.failures, []);
    for (const site of world.sites.values()) {
      await assertWrittenOnce(site);
      for (const [kill, count] of conflicts.entries()) {
        const repeated = count[site.name]! - (conflicts[kill - 1]?.[site.name] ?? 0);
        assert.ok(
          repeated <= LIMITS.batchFiles,
          `${site.name}: ${repeated} writes were repeated after kill ${kill}: more than a batch`,
        );
      }
      const walk = await assertWhole(world, site.name);
      assert.equal((await world.siteStatus(site.name)).verified, walk.members);
    }
  },
);

/** Kills the worker up to 50 ms after one of the lanes has so many files. */
async function killAt(world: World, files: number, random: () => number): Promise<void> {
  const lane = random() < 0.5 ? 'fra' : 'sin';
  await world.until(
    ({ sites }) =>
      sites.some(
        ({ site, target, filesDone, served }) =>
          site === lane && target === 2 && (filesDone >= files || served === 2),
      ),
    `${lane} has ${files} files`,
    undefined,
    120_000,
  );
  await sleep(Math.floor(random() * 50));
  await world.killWorker();
}

/** Of all writes so far that were answered "exists already". */
async function conflictsBySite(world: World): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const site of world.sites.values())
    counts[site.name] = (await blobWritesAt(site)).conflicts.length;
  return counts;
}

async function assertWrittenOnce(site: WorldSite): Promise<void> {
  const { written, conflicts } = await blobWritesAt(site);
  // What was under way when its worker was killed is there too, but the proxy may not have seen
  // the answer: it sees it asked again.
  const there = new Set([...written, ...conflicts]);
  assert.ok(there.size >= BLOBS, `${there.size} files`);
  assert.equal(
    written.length,
    new Set(written).size,
    `${site.name}: a path got a second write that succeeded`,
  );
}

test(
  'the witness sees it when what was committed is forgotten',
  { timeout: 120_000 },
  async (t) => {
    let forgot = false;
    const world = await aWorld(t, {
      sites: ['fra'],
      activities: (real, { database }) => ({
        ...real,
        verifySnapshot: async (input) => {
          if (forgot) return real.verifySnapshot(input);
          forgot = true;
          await run(
            database.read,
            sql`update blob_registry set state = 0, verification_state = 0, etag = null`,
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

    const { conflicts } = await blobWritesAt(world.site('fra'));
    assert.ok(
      conflicts.length > LIMITS.batchFiles,
      `${conflicts.length} writes were repeated, and the bound of the promise would not see it`,
    );
  },
);
