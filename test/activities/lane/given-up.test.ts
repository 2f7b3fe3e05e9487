/** A publication that was given up half way, and the release that takes its place at the site. */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import { sql } from 'kysely';

import { giveUpPublication } from '../../../src/database/publications/give-up.ts';
import { lockLane } from '../../../src/database/replications/lock.ts';
import { one, run } from '../../../src/database/sql.ts';
import type { RepoPath } from '../../../src/domain/repo-path.ts';
import { sha256Of } from '../../../src/domain/sha256.ts';
import { walkSite } from '../../../src/witness/walk-site.ts';
import { replicationOf } from '../../support/replication-of.ts';
import { Killed, meddling, mortal } from '../stores.ts';
import { aPackage, code, inActivity, startLanes, type Lanes } from './lanes.ts';

const FRA = 'fra';
const GZ = 'debian/dists/bookworm/main/binary-amd64/Packages.gz' as RepoPath;
const never = new AbortController().signal;

const giveUp = (lanes: Lanes, site = FRA): Promise<number | null> =>
  lanes.database.transaction(async (tx) => {
    const lane = await lockLane(tx, { distribution: lanes.suite, site });
    return giveUpPublication(tx, lane!, 'a test');
  });

/** By an independent walk; and each index is the one of the release that is served. */
async function assertWhole(lanes: Lanes, site: string, generation: number): Promise<void> {
  const { publicUrl, store } = lanes.site(site);
  const { faults, members } = await walkSite({
    url: `${publicUrl}/debian`,
    suite: lanes.suite,
    keyring: lanes.keyring,
  });
  assert.deepEqual([faults, members > 0], [[], true], site);
  for (const { path, bytes, kind } of lanes.released[generation]!.files) {
    if (kind === 'pool' || kind === 'by-hash') continue;
    const seen = await store.checksum(`debian/${path}` as RepoPath, never);
    assert.equal(seen === 'changed' ? seen : seen?.sha256, sha256Of(bytes), `${site}: ${path}`);
  }
}

test('killed anywhere and given up, the next release takes its place, whole', async (t) => {
  const sites = ['s0', 's1', 's2', 's3', 's4', 's5', 's6', 's7', 's8', 's9'];
  const lanes = await startLanes(t, { sites });
  const packages = [aPackage('hello', '1.0')];
  const first = await lanes.capture(packages);
  await Promise.all(sites.map((site) => lanes.replicate(first, site)));
  const second = await lanes.capture([aPackage('hello', '2.0')]);
  const { database } = lanes;
  await Promise.all(
    sites.map(async (site, index) => {
      const input = { distribution: lanes.suite, site, generation: second };
      const { syncBlobs, checksumBlobs, verifySnapshot } = lanes.activities();
      await inActivity(() => syncBlobs({ ...input, plan: true }));
      await inActivity(() => checksumBlobs(input));
      await inActivity(() => verifySnapshot(input));
      const { store } = lanes.site(site);
      const victim = mortal({ store, database }, { at: 3 + index, when: 'after' });
      const { publishSnapshot } = lanes.activities({
        stores: new Map([[site, victim.store]]),
        database: victim.database,
      });
      await assert.rejects(
        inActivity(() => publishSnapshot(input)),
        Killed,
        site,
      );
    }),
  );
  // Its indices are those of the first one again: none of them is to be written by the rows.
  const third = await lanes.capture(packages);
  for (const site of sites) assert.equal(await giveUp(lanes, site), second, site);

  const answers = await Promise.all(sites.map((site) => lanes.replicate(third, site)));

  assert.deepEqual(
    answers.map(({ row }) => [row.served, row.state]),
    sites.map(() => [third, 'synced']),
  );
  for (const site of sites) await assertWhole(lanes, site, third);
  const incidents = await one(
    database.read,
    sql<{ n: number }>`select count(*) as n from incidents`,
  );
  assert.equal(incidents!.n, 0, 'what it wrote is ours');
});

/** A worker froze before it wrote Packages.gz of a release that was given up; then it goes on. */
async function aLateWrite(t: TestContext, prepare: (lanes: Lanes) => Promise<unknown>) {
  const lanes = await startLanes(t);
  const packages = [aPackage('hello', '1.0')];
  await lanes.replicate(await lanes.capture(packages));
  const second = await lanes.capture([aPackage('hello', '2.0')]);
  const reached = Promise.withResolvers<void>();
  const thawed = Promise.withResolvers<void>();
  t.after(() => thawed.resolve());
  const frozen = meddling(
    lanes.site().store,
    (call, path) => call === 'put' && path === GZ,
    async () => {
      reached.resolve();
      await thawed.promise;
    },
  );
  const worker = lanes.replicate(
    second,
    FRA,
    lanes.activities({ stores: new Map([[FRA, frozen]]) }),
  );
  worker.catch(() => undefined);
  await reached.promise;
  const third = await lanes.capture(packages);
  await giveUp(lanes);
  await prepare(lanes);
  await lanes.replicate(third);
  thawed.resolve();
  await assert.rejects(worker, (error) => code(error) === 'FENCED');
  return { lanes, third };
}

test('a late write of what was given up changes nothing', async (t) => {
  const { lanes, third } = await aLateWrite(t, async () => undefined);
  await assertWhole(lanes, FRA, third);
});

test('it would be seen if what is right were not written once more', async (t) => {
  const { lanes, third } = await aLateWrite(t, (of) =>
    run(of.database.read, sql`update published_names set verified_at = now()`),
  );
  await assert.rejects(assertWhole(lanes, FRA, third), /Packages\.gz/);
  const { state } = await replicationOf(lanes.database.read, {
    distribution: 'bookworm',
    site: FRA,
  });
  assert.equal(state, 'synced');
});
