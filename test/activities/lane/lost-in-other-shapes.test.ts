/** A database that was restored: of an archive of another shape, and lost once more on its way. */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import type { Package } from '../../../src/made-archive/deb-package.ts';
import type { SignedArchiveOptions } from '../../../src/made-archive/signed-archive.ts';
import { adopt, afterLoss, look, walk } from '../adopt/lost.ts';
import { mortal } from '../stores.ts';
import { aPackage, code, inActivity, startLanes, type Lanes } from './lanes.ts';

const AT = { distribution: 'bookworm', site: 'fra' };
const [ALPHA, FOXTROT, BRAVO] = ['alpha', 'foxtrot', 'bravo'].map((name) => aPackage(name, '1.0'));

const outcomeOf = (work: Promise<unknown>): Promise<string> => work.then(() => 'done', code);

const serve = async (lanes: Lanes, packages: readonly Package[]): Promise<unknown> =>
  lanes.replicate(await lanes.capture(packages));

/** As it was before the last two releases; it has noticed that. */
async function restored(
  t: TestContext,
  archive: Partial<SignedArchiveOptions> = {},
): Promise<{ backup: Lanes; generation: number }> {
  const lanes = await startLanes(t, { archive });
  await serve(lanes, [ALPHA!]);
  const backup = await lanes.backUp(t);
  await serve(lanes, [ALPHA!, FOXTROT!]);
  await serve(lanes, [ALPHA!, FOXTROT!, BRAVO!]);
  const generation = await backup.capture([BRAVO!]);
  assert.equal(await outcomeOf(backup.replicate(generation)), 'SITE_AHEAD');
  return { backup, generation };
}

async function assertWhole(lanes: Lanes): Promise<void> {
  const { faults, poolFiles } = await walk(lanes);
  assert.deepEqual([faults, poolFiles], [[], 1]);
}

test('indices of a lost release that lists SHA512 alone are in the way of nothing', async (t) => {
  const { backup, generation } = await restored(t, { hashes: ['SHA512'] });
  assert.equal(await outcomeOf(backup.replicate(generation)), 'done');
  await assertWhole(backup);
});

/** The worker dies behind its k-th call of the site, while it publishes. */
async function publishUntil(lanes: Lanes, generation: number, at: number): Promise<void> {
  const input = { ...AT, generation };
  const { syncBlobs, checksumBlobs, verifySnapshot } = lanes.activities();
  await inActivity(() => syncBlobs({ ...input, plan: true }));
  await inActivity(() => checksumBlobs(input));
  await inActivity(() => verifySnapshot(input));
  const real = { store: lanes.site().store, database: lanes.database };
  const { store, database } = mortal(real, { at, when: 'after' });
  const { publishSnapshot } = lanes.activities({ stores: new Map([['fra', store]]), database });
  assert.match(await outcomeOf(inActivity(() => publishSnapshot(input))), /killed/);
}

test('R of what is published over a lost release leads an adopt to that one', async (t) => {
  const { backup, generation } = await restored(t);
  await publishUntil(backup, generation, 12);
  const before = await walk(backup);
  assert.deepEqual([before.faults, before.poolFiles], [[], 3], 'the lost release is visible');

  const fresh = await afterLoss(t, backup);
  await look(fresh);
  const { suites } = await adopt(fresh);
  assert.equal(suites[0]!.refusal, null);
  assert.equal(suites[0]!.adopted!.releases.length, 4);
  assert.equal(await outcomeOf(fresh.replicate(suites[0]!.adopted!.newest)), 'done');
  await assertWhole(fresh);
});
