/** A scrub at a site that another deployment has claimed since. */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import type { Activities } from '../../../activities/index.ts';
import { askScrub } from '../../../src/database/scrub/commands.ts';
import { encodeSite } from '../../../src/site-format/anchors.ts';
import { SITE_PATH } from '../../../src/site-format/paths.ts';
import { corrupt } from '../../support/corrupt.ts';
import { aPackage, code, inActivity, startLanes, type Lanes } from '../lane/lanes.ts';
import { misplacingSite } from '../stores.ts';

const FILE = 'debian/pool/main/h/hello/hello_1.0_amd64.deb';
const OTHER = { id: '11111111-2222-4333-8444-555555555555', epoch: 0 };

/** A file that only a release in its grace names is another one now, and the site is not ours. */
async function takenSite(t: TestContext): Promise<Lanes> {
  const lanes = await startLanes(t);
  for (const version of ['1.0', '2.0'])
    await lanes.replicate(await lanes.capture([aPackage('hello', version)]));
  const { container } = lanes.site();
  await corrupt(container, 'fra', FILE, 'bit flip');
  const { bytes } = encodeSite({ deployment: OTHER, heads: [] });
  await container.getBlockBlobClient(SITE_PATH).upload(bytes, bytes.length);
  return lanes;
}

async function leavesIt(t: TestContext, activitiesOf: (lanes: Lanes) => Activities): Promise<void> {
  const lanes = await takenSite(t);
  const etagOf = async (): Promise<string | undefined> =>
    (await lanes.site().container.getBlockBlobClient(FILE).getProperties()).etag;
  const before = await etagOf();
  await askScrub(lanes.database, 'fra');

  const outcome = await inActivity(() => activitiesOf(lanes).scrubSlice({ site: 'fra' })).then(
    () => 'scrubbed',
    code,
  );

  assert.equal(outcome, 'SITE_TAKEN');
  assert.equal(await etagOf(), before);
}

test('a scrub reads and repairs nothing where another deployment is at work', (t) =>
  leavesIt(t, (lanes) => lanes.activities()));

test('its test notices a scrub that does not ask whose the site is', async (t) => {
  const forgetful = (lanes: Lanes): Activities =>
    lanes.activities({ stores: new Map([['fra', misplacingSite(lanes.site().store)]]) });

  await assert.rejects(leavesIt(t, forgetful), assert.AssertionError);
});
