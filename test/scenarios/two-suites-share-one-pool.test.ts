import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import type { Activities } from '../../activities/index.ts';
import { NEEDS_APT } from '../support/needs.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld, type Planted, type World } from '../support/world.ts';

async function promise(t: TestContext, planted?: Planted): Promise<void> {
  const world = await aWorld(t, {
    suites: ['bookworm', 'bookworm-updates'],
    planted,
  });
  const shared = Array.from({ length: 60 }, (_, index) => aPackage(`shared-${index}`, '1.0'));
  await world.release([...shared, aPackage('old', '1.0')], {}, 'bookworm');
  await world.release([...shared, aPackage('new', '2.0')], {}, 'bookworm-updates');

  await Promise.all([world.update('bookworm'), world.update('bookworm-updates')]);

  for (const site of ['fra', 'sin']) {
    await assertWhole(world, site, 'bookworm');
    await assertWhole(world, site, 'bookworm-updates');
    assert.equal(await world.site(site).aptSees('old', 'bookworm'), '1.0');
    assert.equal(await world.site(site).aptSees('new', 'bookworm-updates'), '2.0');
    const puts = (await world.site(site).proxy.requests()).filter(
      (request) =>
        request.method === 'PUT' && request.status === 201 && request.path.includes('/pool/'),
    );
    assert.equal(
      new Set(puts.map((put) => put.path)).size,
      puts.length,
      `${site}: a shared pool file was written twice`,
    );
    assert.equal(puts.length, 62);
  }
}

async function theSecondParks(t: TestContext, planted?: Planted): Promise<void> {
  const world = await aWorld(t, {
    sites: ['fra'],
    suites: ['bookworm', 'trixie'],
    planted,
  });
  await world.release([aPackage('same', '1.0')], {}, 'bookworm');
  await world.update('bookworm');
  // An archive that overwrites a released file; createSignedArchive refuses to, so its pool is
  // emptied first.
  await world.forgetPool();
  await world.release([aPackage('same', '1.0')], {}, 'trixie');

  await world.look('trixie');
  const status = await world.until((seen) => seen.status === 'failed', 'trixie fails', 'trixie');

  assert.equal(status.sites[0]!.failure!.code, 'PATH_CONFLICT');
  assert.ok(status.sites[0]!.retryAt! - Date.now() > 50 * 60_000);
  await assertWhole(world, 'fra', 'bookworm');

  // A release without the conflict, and nothing else.
  await world.release([aPackage('same', '1.1')], {}, 'trixie');
  await world.look('trixie');
  await world.until((seen) => seen.status === 'success', 'trixie goes on', 'trixie');
  await assertWhole(world, 'fra', 'trixie');
}

test(
  'two suites share one pool: a shared file is written once and both are whole',
  NEEDS_APT,
  (t) => promise(t),
);
test(
  'other bytes at one path: the second suite parks and says why, the first is unharmed',
  NEEDS_APT,
  (t) => theSecondParks(t),
);

test('it would be seen', { ...NEEDS_APT, concurrency: true }, async (t) => {
  await Promise.all([
    t.test('if one suite tidied the pool by its own list', (t) => {
      const tidy = (real: Activities, world: World): Activities => ({
        ...real,
        publishSnapshot: async (input) => {
          const answer = await real.publishSnapshot(input);
          if (input.distribution !== 'bookworm-updates') return answer;
          await world.until(
            ({ sites }) => sites.every((site) => site.served > 0),
            'the other suite is there',
            'bookworm',
          );
          const site = world.site(input.site);
          for (const path of (await site.contents()).keys())
            if (path.includes('/old_')) await site.blob(path).delete();
          return answer;
        },
      });
      // the other lane may be the first to miss it
      return assert.rejects(promise(t, tidy), /is not whole|BLOB_CORRUPT.*pool\/main\/o\/old/s);
    }),
    t.test('if the second suite had its way', (t) => {
      const overwriting = (real: Activities, world: World): Activities => ({
        ...real,
        syncBlobs: async (input) => {
          const site = world.site(input.site);
          if (input.distribution === 'trixie')
            for (const path of (await site.contents()).keys())
              if (path.endsWith('.deb'))
                await site
                  .blob(path)
                  .uploadData(await world.releasedFile(path.replace('debian/', '')));
          return real.syncBlobs(input);
        },
      });
      return assert.rejects(theSecondParks(t, overwriting), /is not whole/);
    }),
  ]);
});
