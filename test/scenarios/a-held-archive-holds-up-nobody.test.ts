/**
 * Five archives let their files trickle, or send no byte: each could keep a step of its lane, or a
 * look, busy for an hour.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Context } from '@temporalio/activity';

import type { Deps } from '../../activities/deps.ts';
import { applyConfiguration } from '../../src/database/configuration/apply-configuration.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { sendDistributionChanged } from '../../src/temporal/signals.ts';
import { aConfiguration } from '../support/configuration.ts';
import { startFaultProxy, type FaultProxy, type Rule } from '../support/fault-proxy.ts';
import { turnFirst } from '../support/turn-first.ts';
import { assertWhole } from '../support/whole.ts';
import {
  aPackage,
  aWorld,
  placeOf,
  PLANTED_MS,
  type Planted,
  type World,
} from '../support/world.ts';

const SLOW = ['slow-1', 'slow-2', 'slow-3', 'slow-4', 'slow-5'];
/** Faster than LIMITS.bytesPerSecondMin: an archive that is refused for it holds nothing. */
const BYTES_PER_SECOND = 2 * LIMITS.bytesPerSecondMin;
const SETTLE_MS = 40_000;
const HELD = 'beside archives that are held';

async function promise(t: TestContext, deps?: (real: Deps) => Deps): Promise<void> {
  const world = await aWorld(t, {
    sites: ['fra'],
    worker: 'none',
    ...(deps && { deps, settleMs: PLANTED_MS }),
  });
  await world.release([aPackage('large', '1.0', randomBytes(LIMITS.putBytes + 1))]);
  const proxies = await besideSlowArchives(t, world, {
    target: '/pool/',
    fault: { kind: 'rate', bytesPerSecond: BYTES_PER_SECOND },
  });
  await world.startWorker();
  for (const name of SLOW) await world.look(name);
  await untilFourAreAsked(proxies);

  await isReplicated(world, deps === undefined ? SETTLE_MS : PLANTED_MS);
  await assertWhole(world, 'fra');
  for (const name of SLOW) assert.equal((await world.siteStatus('fra', name)).served, 0);
}

/**
 * The healthy distribution goes from release to release. A signal asks for each look: an Update
 * would wait for its answer as long as the look waits for its turn.
 */
async function isReplicated(world: World, settleMs: number): Promise<void> {
  for (const version of ['1.0', '2.0']) {
    const before = (await world.status()).generation;
    await world.release([aPackage('hello', version), aPackage('other', version)]);
    await world.withTemporal((client) => sendDistributionChanged(client, world.suite));
    await world.until(
      ({ generation, sites }) =>
        generation > before &&
        sites.every(({ served, state }) => served === generation && state === 'synced'),
      `${version} ${HELD}`,
      undefined,
      settleMs,
    );
  }
}

/** Each with a mount of its own, and in front of it a proxy that lets the pool trickle. */
async function besideSlowArchives(
  t: TestContext,
  world: World,
  rule: Rule,
  suitesOfEach = 1,
): Promise<FaultProxy[]> {
  const keyring = world.key.publicBinary;
  const proxies = await Promise.all(SLOW.map(() => startFaultProxy(world.archiveServer.url)));
  t.after(() => Promise.all(proxies.map((proxy) => proxy.close())));
  const configuration = aConfiguration({
    archive: { url: world.archiveServer.url, keyring },
    sites: { fra: placeOf(world.site('fra')) },
    distributions: {
      [world.suite]: {},
      ...Object.fromEntries(
        SLOW.flatMap((archive) =>
          Array.from({ length: suitesOfEach }, (_, at) =>
            at === 0
              ? [archive, { archive, suite: world.suite }]
              : [`${archive}-${at}`, { archive, suite: `suite-${at}` }],
          ),
        ),
      ),
    },
  });
  const slow = SLOW.map((name, at) => [
    name,
    { ...configuration.archives['debian']!, url: proxies[at]!.origin, mount: name },
  ]);
  await applyConfiguration(
    world.database,
    {
      ...configuration,
      archives: { ...configuration.archives, ...Object.fromEntries(slow) },
    },
    false,
  );
  for (const proxy of proxies) await proxy.setRules([rule]);
  return proxies;
}

/** All five, where nothing is wrong; where turns come first, four take all of them. */
async function untilFourAreAsked(proxies: readonly FaultProxy[]): Promise<void> {
  for (const deadline = Date.now() + SETTLE_MS; ; await sleep(50)) {
    const requests = await Promise.all(proxies.map((proxy) => proxy.requests()));
    const asked = requests.filter((all) => all.some(({ path }) => path.startsWith('/pool/')));
    if (asked.length >= 4) return;
    assert.ok(Date.now() < deadline, `files are asked for at ${asked.length} archives only`);
  }
}

test('a distribution completes while five archives trickle to the same site', (t) => promise(t));

test('it would be seen if a turn at the site were taken before the bytes are there', async (t) => {
  const around = turnFirst();
  const planted = (real: Deps): Deps => ({
    ...real,
    siteOf: async (...site) => {
      const found = await real.siteOf(...site);
      return { ...found, store: around(found.store) };
    },
  });

  await assert.rejects(promise(t, planted), new RegExp(HELD));
});

/** More suites than one archive has slots on a worker. */
const SUITES = 5;

async function silent(t: TestContext, planted?: Planted): Promise<void> {
  const world = await aWorld(t, { sites: ['fra'], worker: 'none', planted });
  await world.release([aPackage('hello', '0.9')]);
  await besideSlowArchives(t, world, { target: '/dists/', fault: { kind: 'hang' } }, SUITES);
  await world.startWorker();

  await isReplicated(world, planted === undefined ? SETTLE_MS : PLANTED_MS);
  await world.command('pause');
  await world.until(({ sites }) => sites.every(({ paused }) => paused), 'the command is answered');
  await assertWhole(world, 'fra');
  for (const name of SLOW) assert.equal((await world.status(name)).lookedAt, null);
}

test('a distribution completes, and commands are answered, while five archives send no byte', (t) =>
  silent(t));

test('it would be seen if looks at all archives shared their slots', async (t) => {
  const sharing: Planted = (real) => {
    let free = SUITES - 1;
    const waiting: (() => void)[] = [];
    return {
      ...real,
      captureSnapshot: async (input) => {
        while (free === 0) {
          const turn = new Promise<void>((resolve) => waiting.push(resolve));
          await Promise.race([turn, Context.current().cancelled]);
        }
        free -= 1;
        try {
          return await real.captureSnapshot(input);
        } finally {
          free += 1;
          waiting.shift()?.();
        }
      },
    };
  };

  await assert.rejects(silent(t, sharing), new RegExp(HELD));
});
