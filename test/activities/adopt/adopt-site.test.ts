/** A database that was lost knows its sites again, by what stands there. */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import { sql } from 'kysely';

import { all } from '../../../src/database/sql.ts';
import { decodeHead, decodeSite } from '../../../src/site-format/decode.ts';
import { headPath, SITE_PATH } from '../../../src/site-format/paths.ts';
import { replicationOf } from '../../support/replication-of.ts';
import { aPackage, code, startLanes, type Lanes, type LanesOptions } from '../lane/lanes.ts';
import { counting } from '../stores.ts';
import { adopt, afterLoss, blobsAt, look, readBlob, rowsOf, servedAt, walk } from './lost.ts';

const AT = { distribution: 'bookworm', site: 'fra' };
const HEAD = headPath({ mount: 'debian', suite: 'bookworm' });
const STABLE = aPackage('stable', '1.0');

/** Three releases are served one after the other, and the database is lost. */
async function lost(
  t: TestContext,
  options: LanesOptions = {},
): Promise<{ before: Lanes; lanes: Lanes }> {
  const before = await startLanes(t, options);
  for (const version of ['1.0', '2.0', '3.0'])
    await before.replicate(await before.capture([STABLE, aPackage('hello', version)]));
  return { before, lanes: await afterLoss(t, before) };
}

const deploymentOf = async (lanes: Lanes) =>
  (
    await all(
      lanes.database.read,
      sql<{ id: string; epoch: number }>`select id, epoch from deployment`,
    )
  )[0]!;

test('what a site serves is known again and read back, and nothing is uploaded', async (t) => {
  const { before, lanes } = await lost(t);
  const served = await servedAt(lanes);
  await look(lanes);
  assert.equal(await lanes.replicate(1).then(() => 'served', code), 'SITE_TAKEN');

  const adopted = await adopt(lanes);

  assert.deepEqual(adopted.deployment, await deploymentOf(before));
  const [suite] = adopted.suites;
  assert.equal(suite!.refusal, null);
  const { releases, newest, served: generation, left } = suite!.adopted!;
  assert.deepEqual(
    releases.map((one) => one.generation),
    [2, 3, 4],
  );
  assert.deepEqual([generation, newest, left], [4, 4, null], 'what is served is the newest');
  const row = await replicationOf(lanes.database.read, AT);
  assert.deepEqual([row.served, row.target, row.state], [4, 4, 'pending']);
  assert.ok(row.verifyRequestedAt !== null);
  const ours = await deploymentOf(lanes);
  const site = decodeSite(await readBlob(lanes, SITE_PATH), SITE_PATH);
  assert.deepEqual(site, {
    deployment: ours,
    heads: [{ mount: 'debian', suite: 'bookworm' }],
  });
  assert.deepEqual(decodeHead(await readBlob(lanes, HEAD), HEAD).deployment, ours);

  const counted = counting(lanes.site().store);
  const stores = new Map([['fra', counted.store]]);
  const { row: after } = await lanes.replicate(4, 'fra', lanes.activities({ stores }));

  assert.deepEqual([...counted.writes], [], 'nothing is written');
  assert.deepEqual(await servedAt(lanes), served);
  assert.deepEqual([after.served, after.state, after.verifyRequestedAt], [4, 'synced', null]);
  const { faults, members } = await walk(lanes);
  assert.deepEqual(faults, []);
  const verified = await all(
    lanes.database.read,
    sql<{ path: string }>`
      select p.path
      from blob_registry r
      join paths p on p.id = r.path_id
      join snapshot_blobs m on m.blob_id = r.blob_id and m.to_generation > 4
      where r.settled`,
  );
  assert.equal(verified.length, members);

  const next = await lanes.capture([STABLE, aPackage('hello', '4.0')]);
  assert.equal((await lanes.replicate(next)).row.served, next);
  assert.deepEqual((await walk(lanes)).faults, []);
});

test('a dry run says what would be adopted, and changes no row and no blob', async (t) => {
  const { lanes } = await lost(t);
  await look(lanes);
  const [rows, blobs] = [await rowsOf(lanes.database), await blobsAt(lanes)];

  const dry = await adopt(lanes, { dryRun: true });

  assert.deepEqual(await rowsOf(lanes.database), rows);
  assert.deepEqual(await blobsAt(lanes), blobs);
  const real = await adopt(lanes);
  const told = ({ suites }: typeof dry) =>
    suites.map(({ adopted }) => ({ ...adopted, head: undefined }));
  assert.deepEqual(told(dry), told(real));
  assert.ok(real.suites[0]!.adopted!.releases[0]!.files > 3);
});

test('without --take-over a site of another deployment is left as it is', async (t) => {
  const { lanes } = await lost(t);
  await look(lanes);
  const blobs = await blobsAt(lanes);

  assert.equal(await adopt(lanes, { takeOver: false }).then(() => 'adopted', code), 'SITE_TAKEN');

  assert.deepEqual(await blobsAt(lanes), blobs);
  await adopt(lanes);
  await adopt(lanes, { takeOver: false }); // ours by now
});
