import assert from 'node:assert/strict';
import test from 'node:test';
import { NEEDS_APT } from '../support/needs.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld } from '../support/world.ts';

test('two suites share one pool: a shared file is written once and both are whole', NEEDS_APT, async (t) => {
  const world = await aWorld(t, { suites: ['bookworm', 'bookworm-updates'] });
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
      (request) => request.method === 'PUT' && request.status === 201 && request.path.includes('/pool/'),
    );
    assert.equal(new Set(puts.map((put) => put.path)).size, puts.length, `${site}: a shared pool file was written twice`);
    assert.equal(puts.length, 62);
  }
});

test('two suites that need other bytes at one path: the second parks and says why, the first is unharmed', NEEDS_APT, async (t) => {
  const world = await aWorld(t, { sites: ['fra'], suites: ['bookworm', 'trixie'] });
  await world.release([aPackage('same', '1.0')], {}, 'bookworm');
  await world.update('bookworm');
  // An archive that overwrites a released file; createSignedArchive refuses to, so its pool is emptied first.
  await world.forgetPool();
  await world.release([aPackage('same', '1.0')], {}, 'trixie');

  await world.look('trixie');
  const status = await world.until(({ sites }) => sites[0]!.failure !== null, 'trixie fails', 'trixie');

  assert.equal(status.sites[0]!.failure!.code, 'PATH_CONFLICT');
  assert.equal(status.sites[0]!.retryAt, null);
  assert.equal(status.status, 'failed');
  await assertWhole(world, 'fra', 'bookworm');
});
