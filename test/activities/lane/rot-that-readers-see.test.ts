/**
 * What readers are shown and what the site holds differ for one of two reasons: something between
 * them keeps other bytes, or the site itself does. The second is rot, and the lane repairs it.
 */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import { walkSite } from '../../../src/witness/walk-site.ts';
import { replicationOf } from '../../support/replication-of.ts';
import { aPackage, code, inActivity, startLanes, type Lanes } from './lanes.ts';

const AT = { distribution: 'bookworm', site: 'fra' };
const HOWS = ['gone', 'other bytes', 'more bytes'] as const;
const ALPHA = aPackage('alpha', '1.0');
const release = (lanes: Lanes, version: string): Promise<number> =>
  lanes.capture([ALPHA, aPackage('hello', version)]);

/** As its workflow does it: steps, and what fails is recorded, a few times. */
async function untilServed(lanes: Lanes, generation: number): Promise<string[]> {
  const codes: string[] = [];
  for (let tries = 0; tries < 4; tries += 1) {
    const failure = await lanes.replicate(generation).then(() => null, code);
    if (failure === null) return codes;
    codes.push(failure);
    const report = { code: failure as 'UNKNOWN', message: 'as the lane says' };
    await inActivity(() => lanes.activities().recordFailure({ ...AT, report }));
  }
  return codes;
}

async function rotIsRepaired(
  t: TestContext,
  is: (path: string) => boolean,
  how: (typeof HOWS)[number],
): Promise<void> {
  const lanes = await startLanes(t);
  await lanes.replicate(await release(lanes, '1.0'));
  const { container, publicUrl } = lanes.site();
  for await (const { name, properties } of container.listBlobsFlat({ prefix: 'debian/' })) {
    if (!is(name)) continue;
    const blob = container.getBlockBlobClient(name);
    if (how === 'gone') await blob.delete();
    else
      await blob.uploadData(
        Buffer.alloc(properties.contentLength! + (how === 'more bytes' ? 1 : 0), 'x'),
      );
  }

  const generation = await release(lanes, '2.0');
  const codes = await untilServed(lanes, generation);

  const row = await replicationOf(lanes.database.read, AT);
  assert.deepEqual([row.served, row.state], [generation, 'synced'], codes.join(', '));
  const keyring = lanes.keyring;
  const { faults } = await walkSite({ url: `${publicUrl}/debian`, suite: 'bookworm', keyring });
  assert.deepEqual(faults, []);
}

for (const how of HOWS) {
  test(`a pool file of the site with ${how} is repaired by the lane that probes it`, (t) =>
    rotIsRepaired(t, (path) => path.includes('/alpha_1.0'), how));

  test(`so is a by-hash file with ${how}, before anything is published on it`, (t) =>
    rotIsRepaired(t, (path) => path.includes('/by-hash/'), how));
}
