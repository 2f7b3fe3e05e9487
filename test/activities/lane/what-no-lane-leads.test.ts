/** Suites that no lane of a site replicates any more hold up nothing there, for ever. */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import { sql } from 'kysely';

import { replicateTo } from '../../../src/database/configuration/replicate-to.ts';
import { sha256Of } from '../../../src/domain/sha256.ts';
import { encodeHead } from '../../../src/site-format/anchors.ts';
import { decodeHead } from '../../../src/site-format/decode.ts';
import { headPath } from '../../../src/site-format/paths.ts';
import { replicationOf } from '../../support/replication-of.ts';
import { aPackage, code, inActivity, startLanes, type Lanes } from './lanes.ts';

const SUITES = ['bookworm', 'trixie'];
const AT = { distribution: 'bookworm', site: 'fra' };
const ALPHA = aPackage('alpha', '1.0');
const GONE = headPath({ mount: 'debian', suite: 'trixie' });

const outcomeOf = (work: Promise<unknown>): Promise<string> => work.then(() => 'done', code);

/** Both suites are served; then the second one is taken out of the configuration. */
async function withoutTrixie(t: TestContext): Promise<Lanes> {
  const lanes = await startLanes(t, { suites: SUITES });
  for (const suite of SUITES)
    await lanes.replicate(await lanes.capture([ALPHA], suite), 'fra', lanes.activities(), suite);
  await sql`update debian_distributions set removed = true where name = 'trixie'`.execute(
    lanes.database.read.kysely,
  );
  await lanes.database.transaction((tx) => replicateTo(tx, 2, []));
  return lanes;
}

/** @returns how a prune ends then */
async function settled(lanes: Lanes): Promise<string> {
  const { confirmSite, planPrune } = lanes.activities();
  const confirm = () => inActivity(() => confirmSite({ site: 'fra' }));
  await confirm();
  const { served, verifyRequestedAt } = await replicationOf(lanes.database.read, AT);
  if (verifyRequestedAt !== null) await lanes.replicate(served);
  await lanes.endGrace();
  await confirm();
  const row = await replicationOf(lanes.database.read, AT);
  assert.deepEqual([row.state, row.verifyRequestedAt], ['synced', null], 'read back once');
  return outcomeOf(inActivity(() => planPrune({ site: 'fra' })));
}

test('a lost release of a suite that is not replicated stops prune alone', async (t) => {
  const lanes = await withoutTrixie(t);
  const { container } = lanes.site();
  const head = decodeHead(await container.getBlobClient(GONE).downloadToBuffer(), GONE);
  const { bytes } = encodeHead({ ...head, release: sha256Of(Buffer.from('lost')) });
  await container.getBlockBlobClient(GONE).upload(bytes, bytes.length);
  assert.equal(await settled(lanes), 'SITE_AHEAD');
});

test('an emptied container is read back once where H of such a suite is gone, too', async (t) => {
  const lanes = await withoutTrixie(t);
  const { container } = lanes.site();
  for await (const { name } of container.listBlobsFlat()) await container.deleteBlob(name);
  assert.equal(await settled(lanes), 'done');
});

test('a suite that was never captured holds up no prune', async (t) => {
  const lanes = await startLanes(t, { suites: SUITES });
  await lanes.replicate(await lanes.capture([ALPHA]));
  const { container } = lanes.site();
  for await (const { name } of container.listBlobsFlat()) await container.deleteBlob(name);
  const { confirmSite, planPrune } = lanes.activities();
  await inActivity(() => confirmSite({ site: 'fra' }));
  await lanes.replicate(1);
  await sql`
    update distribution_replications
    set spared_until = now()
    where spared_until < timestamptz '9999-01-01 00:00+00'`.execute(lanes.database.read.kysely);
  assert.equal(await outcomeOf(inActivity(() => planPrune({ site: 'fra' }))), 'done');
});
