/** A site that is given back: another deployment may claim it, and what it serves stays. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { releaseSite } from '../../activities/release-site.ts';
import { bookReleased } from '../../src/database/anchors/released.ts';
import { readSite } from '../../src/database/configuration/sites.ts';
import { replicationOf } from '../support/replication-of.ts';
import { aPackage, code, startLanes, type Lanes } from './lane/lanes.ts';

const signal = new AbortController().signal;

async function release(lanes: Lanes): Promise<void> {
  const { database } = lanes;
  const { id: siteId } = await readSite(database.read, 'fra');
  await releaseSite({ database, store: lanes.site().store, siteId, signal });
  await bookReleased(database, siteId, { reason: 'moved', by: 'a test' });
}

async function namesOf(lanes: Lanes): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of lanes.site().container.listBlobsFlat()) names.push(name);
  return names;
}

test('a site that one deployment gave back is that of another', async (t) => {
  const one = await startLanes(t, { suites: ['one'] });
  const generation = await one.capture([aPackage('alpha', '1.0')]);
  await one.replicate(generation);
  const before = await namesOf(one);
  const two = await startLanes(t, { suites: ['two'], container: one.site().container });
  const other = await two.capture([aPackage('bravo', '1.0')]);
  assert.equal(await two.replicate(other).then(() => 'served', code), 'SITE_TAKEN');
  assert.equal(await release(two).then(() => 'released', code), 'SITE_TAKEN');
  assert.deepEqual(await namesOf(one), before, 'only its own deployment gives a site back');

  await release(one);
  await release(one); // again: nothing is left to give back

  const gone = ['.debgeo/heads/debian/one.json', '.debgeo/site.json'];
  assert.deepEqual(
    await namesOf(one),
    before.filter((name) => !gone.includes(name)),
    'all that clients read stays, and R',
  );
  await two.replicate(other);
  const next = await one.capture([aPackage('alpha', '2.0')]);
  assert.equal(await one.replicate(next).then(() => 'served', code), 'SITE_TAKEN');
  const { served } = await replicationOf(one.database.read, { distribution: 'one', site: 'fra' });
  assert.equal(served, generation);
});
