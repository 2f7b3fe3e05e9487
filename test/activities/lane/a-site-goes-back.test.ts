/**
 * A container that was emptied, or restored from an older copy: seen at the next publication or
 * prune, read back as a whole, and repaired.
 */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import { sql } from 'kysely';

import type { ErrorCode } from '../../../src/domain/errors.ts';
import { walkSite } from '../../../src/witness/walk-site.ts';
import { replicationOf } from '../../support/replication-of.ts';
import { aPackage, code, inActivity, startLanes, type Lanes } from './lanes.ts';

const AT = { distribution: 'bookworm', site: 'fra' };
const S = '.debgeo/site.json';
const H = '.debgeo/heads/debian/bookworm.json';
const ALPHA = aPackage('alpha', '1.0');

const blob = (lanes: Lanes, path: string) => lanes.site().container.getBlockBlobClient(path);

async function empty(lanes: Lanes): Promise<void> {
  const { container } = lanes.site();
  for await (const { name } of container.listBlobsFlat()) await container.deleteBlob(name);
}

async function assertWhole(lanes: Lanes, version: string): Promise<void> {
  const { faults, poolFiles } = await walkSite({
    url: `${lanes.site().publicUrl}/debian`,
    suite: 'bookworm',
    keyring: lanes.keyring,
  });
  assert.deepEqual([faults, poolFiles], [[], 2]);
  const path = `debian/pool/main/h/hello/hello_${version}_amd64.deb`;
  assert.ok(await blob(lanes, path).exists(), path);
  for (const anchor of [S, H]) assert.ok(await blob(lanes, anchor).exists(), anchor);
}

const release = (lanes: Lanes, version: string): Promise<number> =>
  lanes.capture([ALPHA, aPackage('hello', version)]);

const outcomeOf = (work: Promise<unknown>): Promise<string> => work.then(() => 'done', code);

const record = (lanes: Lanes, failure: ErrorCode) =>
  inActivity(() =>
    lanes
      .activities()
      .recordFailure({ ...AT, report: { code: failure, message: 'as the lane says' } }),
  );

/** Two releases are served; then `happens`. */
async function served(t: TestContext, happens: (lanes: Lanes) => Promise<unknown>): Promise<Lanes> {
  const lanes = await startLanes(t);
  for (const version of ['1.0', '2.0']) await lanes.replicate(await release(lanes, version));
  await happens(lanes);
  return lanes;
}

async function repairedByPublication(
  t: TestContext,
  happens: (lanes: Lanes) => Promise<unknown>,
  recorded: ErrorCode = 'SITE_BEHIND',
): Promise<void> {
  const lanes = await served(t, happens);
  const generation = await release(lanes, '3.0');

  assert.equal(await outcomeOf(lanes.replicate(generation)), 'SITE_BEHIND');
  const row = await record(lanes, recorded);

  assert.ok(row!.retryAt !== null, 'it is tried again by itself');
  assert.equal(await outcomeOf(lanes.replicate(generation)), 'done');
  await assertWhole(lanes, '3.0');
}

test('an emptied container is repaired by the next publication', (t) =>
  repairedByPublication(t, empty));

test('so is an older copy of a container, with everything that it had', (t) =>
  repairedByPublication(t, async (lanes) => {
    const { container } = lanes.site();
    const copy = new Map<string, Buffer>();
    for await (const { name } of container.listBlobsFlat())
      copy.set(name, await container.getBlobClient(name).downloadToBuffer());
    await lanes.replicate(await release(lanes, '2.1'));
    await empty(lanes);
    for (const [name, bytes] of copy) await blob(lanes, name).upload(bytes, bytes.length);
  }));

test('so is one whose H is that of an older copy', (t) =>
  repairedByPublication(t, async (lanes) => {
    const older = await blob(lanes, H).downloadToBuffer();
    await lanes.replicate(await release(lanes, '2.1'));
    await blob(lanes, H).upload(older, older.length);
  }));

test('it would be seen if an older site were believed', (t) =>
  assert.rejects(repairedByPublication(t, empty, 'STALLED'), {
    code: 'ERR_ASSERTION',
    actual: 'SITE_BEHIND',
  }));

test('an emptied container is seen by prune, and repaired without a release', async (t) => {
  const lanes = await served(t, empty);
  const { planPrune, recordPruneFailure } = lanes.activities();
  const prune = () => inActivity(() => planPrune({ site: 'fra' }));
  const unseen = async () =>
    (
      await sql<{ unseen: boolean }>`
        select changed_rev > seen_rev as unseen from debian_distributions`.execute(
        lanes.database.read.kysely,
      )
    ).rows[0]!.unseen;
  await sql`update debian_distributions set seen_rev = changed_rev`.execute(
    lanes.database.read.kysely,
  );

  assert.equal(await outcomeOf(prune()), 'SITE_BEHIND');
  await inActivity(() =>
    recordPruneFailure({ site: 'fra', report: { code: 'SITE_BEHIND', message: 'gone' } }),
  );

  const { verifyRequestedAt, served: generation } = await replicationOf(lanes.database.read, AT);
  assert.ok(verifyRequestedAt !== null);
  assert.ok(await unseen(), 'its workflow is told within a minute');
  assert.equal(await outcomeOf(prune()), 'SITE_BEHIND', 'until it is repaired nothing is deleted');
  await lanes.replicate(generation);
  await assertWhole(lanes, '2.0');
  assert.equal(await outcomeOf(prune()), 'SITE_BEHIND', 'clients may have read an older copy');
  await lanes.endGrace();
  assert.equal(await outcomeOf(prune()), 'done');
});
