import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import type { Activities } from '../../activities/index.ts';
import { NEEDS_APT } from '../support/needs.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld, type Planted } from '../support/world.ts';

async function promise(t: TestContext, planted?: Planted): Promise<void> {
  const world = await aWorld(t, {
    sites: ['fra', 'sin'],
    planted,
  });
  const kept = aPackage('kept', '1.0');
  await world.release([aPackage('hello', '1.0'), kept]);
  await world.update();
  const writtenBefore = (await world.site('fra').contents()).get(
    'debian/pool/main/k/kept/kept_1.0_amd64.deb',
  );

  await world.release([aPackage('hello', '2.0'), aPackage('new+name~1', '0.1~rc1+b2'), kept]);
  await world.update();

  for (const site of ['fra', 'sin']) {
    assert.equal(await world.site(site).aptSees('hello', 'bookworm'), '2.0');
    assert.equal(await world.site(site).aptSees('new+name~1', 'bookworm'), '0.1~rc1+b2');
    const walk = await assertWhole(world, site);
    const status = await world.siteStatus(site);
    assert.deepEqual(
      [status.served, status.members, status.verified, status.class],
      [2, walk.members, walk.members, 'untorn'],
    );
  }
  assert.equal((await world.status()).status, 'success');
  assert.ok(writtenBefore);
  assert.equal(
    (await world.site('fra').contents()).get('debian/pool/main/k/kept/kept_1.0_amd64.deb'),
    writtenBefore,
    'what did not change is not written again',
  );
}

test('a change reaches every site, and apt sees it there', NEEDS_APT, (t) => promise(t));

test('it would be seen if a site were told to be done without its blobs', NEEDS_APT, async (t) => {
  const lazy = (real: Activities): Activities => ({
    ...real,
    syncBlobs: async (input) =>
      input.site === 'sin' && input.generation === 2
        ? { more: false, repair: 0, row: (await real.verifySnapshot(input)).row }
        : real.syncBlobs(input),
  });

  await assert.rejects(promise(t, lazy), /assert|not within/i);
});

test('it would be seen if InRelease were left as it was', NEEDS_APT, async (t) => {
  const forgetful = (real: Activities): Activities => ({
    ...real,
    publishSnapshot: async (input) =>
      input.generation === 2
        ? { more: false, repair: 0, row: (await real.verifySnapshot(input)).row }
        : real.publishSnapshot(input),
  });

  await assert.rejects(promise(t, forgetful), /assert|not within/i);
});
