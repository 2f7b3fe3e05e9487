import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Activities } from '../../activities/index.ts';
import { aPackage, aWorld, type Planted, type World } from '../support/world.ts';

const IN_RELEASE = 'debian/dists/bookworm/InRelease';

/** Reads the Date of what the site serves all the time, as a stranger would. */
function watchDates(world: World, site: string): { stop(): Promise<number[]> } {
  const seen: number[] = [];
  let stopping = false;
  const done = (async () => {
    while (!stopping) {
      const answer = await fetch(`${world.site(site).aptUrl}/dists/bookworm/InRelease`);
      const date =
        answer.status === 200 ? /^Date: (.*)$/m.exec(await answer.text())?.[1] : undefined;
      if (date !== undefined && seen.at(-1) !== Date.parse(date)) seen.push(Date.parse(date));
      await sleep(20);
    }
  })();
  return {
    stop: async () => {
      stopping = true;
      await done;
      return seen;
    },
  };
}

async function promise(t: TestContext, planted?: Planted): Promise<void> {
  const world = await aWorld(t, {
    sites: ['fra'],
    planted,
  });
  const dates = watchDates(world, 'fra');
  world.beforeStop(() => dates.stop());

  for (const version of ['1.0', '2.0', '3.0']) {
    await world.release([aPackage('hello', version)], {
      date: new Date(Date.now() - 60_000 + 10_000 * Number.parseInt(version, 10)),
    });
    await world.update();
  }
  await world.release([aPackage('hello', '1.5')], { date: new Date(Date.now() - 3_600_000) });
  assert.equal((await world.look()).report?.code, 'RELEASE_ROLLBACK');
  await sleep(100);

  const seen = await dates.stop();
  assert.deepEqual(
    seen,
    seen.toSorted((a, b) => a - b),
  );
  assert.equal(seen.length, 3);
  assert.deepEqual(await world.servedGenerations('fra'), [1, 2, 3]);
}

test('what a site serves only moves forward', (t) => promise(t));

test('it would be seen if an older release came back for a moment', async (t) => {
  const kept: Buffer[] = [];
  const nostalgic = (real: Activities, world: World): Activities => ({
    ...real,
    publishSnapshot: async (input) => {
      const blob = world.site(input.site).blob(IN_RELEASE);
      if (await blob.exists()) kept.push(await blob.downloadToBuffer());
      const answer = await real.publishSnapshot(input);
      if (input.generation === 3) {
        const current = await blob.downloadToBuffer();
        await blob.uploadData(kept[0]!);
        await sleep(500);
        await blob.uploadData(current);
      }
      return answer;
    },
  });

  await assert.rejects(promise(t, nostalgic), assert.AssertionError);
});
