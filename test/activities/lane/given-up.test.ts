/** A publication that was given up half way, and the release that takes its place at the site. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import test, { type TestContext } from 'node:test';

import { sql } from 'kysely';

import type { Activities } from '../../../activities/index.ts';
import { giveUpPublication } from '../../../src/database/publications/give-up.ts';
import { lockLane } from '../../../src/database/replications/lock.ts';
import { one, run } from '../../../src/database/sql.ts';
import { DebgeoError, type ErrorReport } from '../../../src/domain/errors.ts';
import type { RepoPath } from '../../../src/domain/repo-path.ts';
import { sha256Of } from '../../../src/domain/sha256.ts';
import type { SiteStore } from '../../../src/site/site-store.ts';
import { walkSite } from '../../../src/witness/walk-site.ts';
import { replicationOf } from '../../support/replication-of.ts';
import { Killed, meddling, mortal } from '../stores.ts';
import { aPackage, code, inActivity, startLanes, type Lanes } from './lanes.ts';

const FRA = 'fra';
const GZ = 'debian/dists/bookworm/main/binary-amd64/Packages.gz' as RepoPath;
const IN_RELEASE = 'debian/dists/bookworm/InRelease';
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

/**
 * Generation 2 is half published at fra when a file of it, which a scrub found gone, is nowhere:
 * not at the archive, which has released 3, and not at sin, which never had it.
 */
async function halfPublished(t: TestContext, options: { atSin: boolean }) {
  const lanes = await startLanes(t, { sites: [FRA, 'sin'] });
  const first = await lanes.capture([aPackage('hello', '1.0')]);
  for (const site of [FRA, 'sin']) await lanes.replicate(first, site);
  const second = await lanes.capture([aPackage('hello', '2.0')]);
  if (options.atSin) await lanes.replicate(second, 'sin');
  const victim = mortal(
    { store: lanes.site().store, database: lanes.database },
    { at: Infinity, when: 'after' },
  );
  const dying = meddling(
    victim.store,
    (call, path) => call === 'put' && path === IN_RELEASE,
    () => Promise.reject(new Killed('killed')),
  );
  await assert.rejects(
    lanes.replicate(second, FRA, lanes.activities({ stores: new Map([[FRA, dying]]) })),
    Killed,
  );
  const third = await lanes.capture([aPackage('hello', '3.0')]);
  const path = 'pool/main/h/hello/hello_2.0_amd64.deb';
  await rm(`${lanes.folder}/${path}`);
  await lanes.site().container.deleteBlob(`debian/${path}`);
  await run(
    lanes.database.read,
    sql`
      update blob_registry r
      set state = 0, verification_state = 3
      from paths p, replication_sites s
      where p.id = r.path_id
        and p.path = ${path}
        and s.id = r.site_id
        and s.name = ${FRA}`,
  );
  return { lanes, second, third };
}

/** What the workflow does: a chain, and where it fails, its record. */
async function chain(lanes: Lanes, activities: Activities): Promise<string> {
  const at = { distribution: lanes.suite, site: FRA };
  const { pinned, target } = await replicationOf(lanes.database.read, at);
  try {
    await lanes.replicate(pinned ?? target, FRA, activities);
    return 'synced';
  } catch (error) {
    const report = (error as { details: ErrorReport[] }).details[0]!;
    await inActivity(() => activities.recordFailure({ ...at, report }));
    return report.code;
  }
}

test('a file of an open publication is nowhere: the lane goes on with the newest', async (t) => {
  const { lanes, second, third } = await halfPublished(t, { atSin: false });
  const at = { distribution: lanes.suite, site: FRA };
  const before = await replicationOf(lanes.database.read, at);
  assert.deepEqual([before.publishing, before.pinned], [true, second]);

  assert.equal(await chain(lanes, lanes.activities()), 'BLOB_MISSING');
  assert.equal(await chain(lanes, lanes.activities()), 'synced');

  const { served, state } = await replicationOf(lanes.database.read, at);
  assert.deepEqual([served, state], [third, 'synced']);
  await assertWhole(lanes, FRA, third);
});

test('it waits for another site that has the file and cannot be asked', async (t) => {
  const { lanes, second } = await halfPublished(t, { atSin: true });
  const at = { distribution: lanes.suite, site: FRA };
  const away: SiteStore = {
    ...lanes.site('sin').store,
    site: 'sin',
    open: () => Promise.reject(new DebgeoError('SITE_UNREACHABLE', 'cannot read at sin')),
  };
  const stores = new Map([['sin', away]]);

  assert.equal(await chain(lanes, lanes.activities({ stores })), 'BLOB_UNREACHABLE');
  const waiting = await replicationOf(lanes.database.read, at);
  assert.deepEqual([waiting.publishing, waiting.pinned, waiting.state], [true, second, 'failed']);

  assert.equal(await chain(lanes, lanes.activities()), 'synced');
  assert.equal((await replicationOf(lanes.database.read, at)).served, second);
});

test('an index that catalog and site have lost is copied from another site', async (t) => {
  const lanes = await startLanes(t, { sites: [FRA, 'sin'] });
  const first = await lanes.capture([aPackage('hello', '1.0')]);
  for (const site of [FRA, 'sin']) await lanes.replicate(first, site);
  const second = await lanes.capture([aPackage('hello', '2.0')]);
  await lanes.replicate(second, 'sin');
  const index = lanes.released[second]!.files.find(({ path }) => `debian/${path}` === GZ)!;
  const digest = sha256Of(index.bytes);
  const gone = async (): Promise<void> => {
    await run(
      lanes.database.read,
      sql`delete from index_contents where sha256 = decode(${digest}, 'hex')`,
    );
    for await (const { name } of lanes.site().container.listBlobsFlat())
      if (name.endsWith(digest)) await lanes.site().container.deleteBlob(name);
    await rm(`${lanes.folder}/dists/bookworm/main/binary-amd64`, { recursive: true });
  };
  // Behind the barrier, and before the first published name.
  const isHead = (call: string, path: string) =>
    call === 'put' && path.startsWith('.debgeo/heads/');
  const meddled = meddling(lanes.site().store, isHead, gone);
  const activities = lanes.activities({ stores: new Map([[FRA, meddled]]) });
  const { row } = await lanes.replicate(second, FRA, activities);
  assert.deepEqual([row.served, row.state], [second, 'synced']);
});
