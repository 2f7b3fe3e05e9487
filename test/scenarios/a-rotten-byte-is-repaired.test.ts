import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import type { Activities } from '../../activities/index.ts';
import { rotAt } from '../support/rot.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld, type Planted } from '../support/world.ts';

const PATH = 'debian/pool/main/h/hello/hello_1.0_amd64.deb';

async function promise(t: TestContext, planted?: Planted): Promise<void> {
  const world = await aWorld(t, { planted });
  await world.release([aPackage('hello', '1.0'), aPackage('other', '1.0')]);
  await world.update();
  const site = world.site('sin');
  const before = await site.blob(PATH).getProperties();

  const bytes = await rotAt(site.container, 'sin', PATH);
  const rotten = await site.blob(PATH).getProperties();
  assert.deepEqual(
    [rotten.etag, rotten.contentLength, rotten.contentMD5],
    [before.etag, before.contentLength, before.contentMD5],
    'the rot shows nowhere but in the bytes',
  );
  assert.notDeepEqual(await site.read(PATH), bytes);
  await world.verify('sin');

  assert.deepEqual(await world.site('sin').read(PATH), bytes);
  await assertWhole(world, 'sin');
  const corrupt = await world.incidents('BLOB_CORRUPT');
  assert.deepEqual(
    corrupt.map((incident) => [incident.site, incident.path]),
    [['sin', PATH.slice('debian/'.length)]],
  );
  assert.ok(
    corrupt[0]!.expected !== null &&
      corrupt[0]!.found !== null &&
      corrupt[0]!.expected !== corrupt[0]!.found,
  );
  assert.equal((await world.status()).status, 'success');
}

test('a rotten byte is found at exactly its path and repaired', (t) => promise(t));

test('it would be seen if checksum trusted what it knows', async (t) => {
  const trusting = (real: Activities): Activities => ({
    ...real,
    checksumBlobs: async (input) => ({
      more: false,
      repair: 0,
      row: (await real.verifySnapshot(input)).row,
    }),
  });

  await assert.rejects(promise(t, trusting), assert.AssertionError);
});

test('a blob that is gone and a rotten published name are repaired, too', async (t) => {
  const world = await aWorld(t);
  await world.release([aPackage('hello', '1.0')]);
  await world.update();
  const site = world.site('sin');
  const index = 'debian/dists/bookworm/main/binary-amd64/Packages.gz';
  await site.blob(PATH).delete();
  await rotAt(site.container, 'sin', index);

  await world.verify('sin');

  await assertWhole(world, 'sin');
});

test('without the archive, a rotten byte is repaired from the primary', async (t) => {
  const world = await aWorld(t);
  await world.release([aPackage('hello', '1.0')]);
  await world.update();
  await world.archiveServer.refuse();
  const bytes = await rotAt(world.site('sin').container, 'sin', PATH);

  await world.verify('sin');

  assert.deepEqual(await world.site('sin').read(PATH), bytes);
});
