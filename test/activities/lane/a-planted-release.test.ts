/**
 * Whoever holds a SAS of one site plants an older release there, validly signed, with all that
 * debgeo keeps of it: it is gone over, reaches no other site, and never the catalog.
 */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';

import type { Activities } from '../../../activities/index.ts';
import { readStatus } from '../../../src/database/views/status.ts';
import { walkSite } from '../../../src/witness/walk-site.ts';
import { replicationOf } from '../../support/replication-of.ts';
import { aPackage, inActivity, startLanes, type Lanes } from './lanes.ts';

const STABLE = aPackage('stable', '1.0');
const SITES = ['fra', 'ams'] as const;

/** Each file of a site that says which release it is. */
async function copyOf(lanes: Lanes): Promise<Map<string, Buffer>> {
  const { container } = lanes.site('fra');
  const copy = new Map<string, Buffer>();
  for await (const { name } of container.listBlobsFlat())
    if (/^debian\/dists\/(?!.*by-hash)|^\.debgeo\/heads/.test(name))
      copy.set(name, await container.getBlobClient(name).downloadToBuffer());
  return copy;
}

const versionAt = async (lanes: Lanes, site: string): Promise<string[]> => {
  const url = `${lanes.site(site).publicUrl}/debian`;
  const { faults } = await walkSite({ url, suite: 'bookworm', keyring: lanes.keyring });
  assert.deepEqual(faults, [], site);
  const packages = await fetch(`${url}/dists/bookworm/main/binary-amd64/Packages.gz`);
  return [
    ...gunzipSync(await packages.arrayBuffer())
      .toString()
      .matchAll(/hello_\d\.\d/g),
  ].map(([name]) => name);
};

async function promise(
  t: TestContext,
  confirm: (activities: Activities) => Promise<unknown>,
): Promise<void> {
  const lanes = await startLanes(t, { sites: SITES });
  const serve = async (version: string): Promise<number> => {
    const generation = await lanes.capture([STABLE, aPackage('hello', version)]);
    for (const site of SITES) await lanes.replicate(generation, site);
    return generation;
  };
  await serve('1.0');
  const older = await copyOf(lanes);
  const newest = await serve('2.0');
  const { container } = lanes.site('fra');
  for (const [name, bytes] of older)
    await container.getBlockBlobClient(name).upload(bytes, bytes.length);
  assert.deepEqual(await versionAt(lanes, 'fra'), ['hello_1.0'], 'it is planted');

  await confirm(lanes.activities());
  for (const site of SITES) {
    const { state } = await replicationOf(lanes.database.read, { distribution: 'bookworm', site });
    if (state !== 'synced') await lanes.replicate(newest, site);
  }

  assert.equal((await readStatus(lanes.database))[0]!.generation, newest);
  assert.deepEqual(await versionAt(lanes, 'ams'), ['hello_2.0']);
  assert.deepEqual(await versionAt(lanes, 'fra'), ['hello_2.0']);
}

test('an older release that was planted is gone over, and reaches nothing else', (t) =>
  promise(t, ({ confirmSite }) => inActivity(() => confirmSite({ site: 'fra' }))));

test('it would stay if its lane believed its row', (t) =>
  assert.rejects(
    promise(t, async () => undefined),
    { code: 'ERR_ASSERTION' },
  ));
