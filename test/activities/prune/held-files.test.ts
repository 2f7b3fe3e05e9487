/** What a site does not delete: a policy of immutability, a legal hold, a lease. */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import { sql } from 'kysely';

import { askForHeld } from '../../../src/database/prune/held-files.ts';
import { readPrunes } from '../../../src/database/prune/prunes.ts';
import { all, run } from '../../../src/database/sql.ts';
import type { RepoPath } from '../../../src/domain/repo-path.ts';
import { replicationOf } from '../../support/replication-of.ts';
import { aPackage, inActivity, startLanes, type Lanes } from '../lane/lanes.ts';
import { worm } from '../stores.ts';

const SITE = { site: 'fra' };
const AT = { distribution: 'bookworm', site: 'fra' };
const never = new AbortController().signal;
const OLD = 'pool/main/h/hello/hello_1.0_amd64.deb';

/** Three releases of one site, which keeps the last; what it holds back is at `isKept`. */
async function aSite(t: TestContext, isKept: (path: string) => boolean) {
  const lanes = await startLanes(t);
  const hellos = ['1.0', '2.0', '3.0'].map((version) => aPackage('hello', version));
  for (const hello of hellos) await lanes.replicate(await lanes.capture([hello]));
  await run(
    lanes.database.read,
    sql`update replication_sites set grace_ms = 0, kept_generations = 1`,
  );
  const kept = worm(lanes.site().store, isKept);
  const stores = new Map([['fra', kept.store]]);
  return { lanes, hellos, asked: kept.asked, activities: lanes.activities({ stores }) };
}

async function prune(activities: ReturnType<Lanes['activities']>): Promise<number> {
  await inActivity(() => activities.planPrune(SITE));
  for (let slices = 1; ; slices += 1) {
    const { more } = await inActivity(() => activities.pruneBlobs(SITE));
    if (!more) break;
    assert.ok(slices < 5, 'a prune ends');
  }
  return (await inActivity(() => activities.pruneCatalog(SITE))).blobs;
}

const heldOf = async ({ database }: Lanes): Promise<number> =>
  (await readPrunes(database))[0]!.held;

const openIncidents = ({ database }: Lanes) =>
  all(
    database.read,
    sql<{ code: string; found: string }>`
      select code, found
      from incidents
      where resolved_at is null`,
  );

const isThere = async (lanes: Lanes, path: string): Promise<boolean> =>
  (await lanes.site().store.checksum(`debian/${path}` as RepoPath, never)) !== null;

test('what a policy keeps is noted, the others go, and it is asked for again later', async (t) => {
  const { lanes, activities, asked } = await aSite(t, (path) =>
    path.endsWith('hello_1.0_amd64.deb'),
  );
  const { read } = lanes.database;

  const deleted = await prune(activities);

  assert.ok(deleted >= 3, `${deleted} deleted`);
  assert.deepEqual([await isThere(lanes, OLD), await heldOf(lanes)], [true, 1]);
  assert.deepEqual(asked, [`debian/${OLD}`], 'once in a run');
  const row = await all(
    read,
    sql<{ path: string; failure_code: string; lately: boolean }>`
      select p.path, r.failure_code, r.refused_at > now() - interval '1 minute' as lately
      from blob_registry r
      join paths p on p.id = r.path_id
      where r.state = 4`,
  );
  assert.deepEqual(row, [{ path: OLD, failure_code: 'BLOB_HELD', lately: true }]);
  assert.deepEqual(await openIncidents(lanes), [
    { code: 'BLOB_HELD', found: '409 BlobImmutableDueToPolicy' },
  ]);

  await prune(activities);
  assert.equal(asked.length, 1, 'not with every prune');
  await run(
    read,
    sql`
      update blob_registry
      set refused_at = now() - interval '25 hours'
      where refused_at is not null`,
  );
  await prune(activities);
  assert.deepEqual([asked.length, await heldOf(lanes)], [2, 1], 'a day later');

  const { siteId } = (await readPrunes(lanes.database))[0]!;
  await askForHeld(lanes.database, siteId);
  await prune(lanes.activities());
  assert.deepEqual([await isThere(lanes, OLD), await heldOf(lanes)], [false, 0]);
  assert.deepEqual(await openIncidents(lanes), []);
});

test('a fine publication does not end the incident of what is held', async (t) => {
  const { lanes, activities } = await aSite(t, (path) => path.endsWith('hello_1.0_amd64.deb'));
  await prune(activities);
  await lanes.replicate(await lanes.capture([aPackage('hello', '4.0')]));
  assert.deepEqual(
    (await openIncidents(lanes)).map(({ code }) => code),
    ['BLOB_HELD'],
  );
});

test('R that a policy keeps holds up no other', async (t) => {
  const { lanes, activities, asked } = await aSite(t, (path) =>
    path.startsWith('.debgeo/releases/'),
  );
  const deleted = await prune(activities);
  assert.ok(deleted >= 4, `${deleted} deleted`);
  assert.deepEqual([asked.length, await heldOf(lanes)], [2, 2]);
  await prune(activities);
  assert.equal(asked.length, 2, 'not with every prune');
});

test('a share that is held back leaves room for what may go', async (t) => {
  const { lanes, activities } = await aSite(t, (path) => path.includes('/by-hash/'));
  await prune(activities);
  const held = await heldOf(lanes);
  assert.ok(held > 0);
  await lanes.replicate(await lanes.capture([aPackage('hello', '4.0')]));
  await prune(activities);
  assert.ok((await heldOf(lanes)) > held, 'the next ones were asked for, too');
});

test('a lane that needs a held blob again takes it as it is', async (t) => {
  const { lanes, hellos, activities } = await aSite(t, (path) => /\/(pool|by-hash)\//.test(path));
  await prune(activities);
  const again = await lanes.capture([aPackage('other', '1.0'), hellos[0]!]);
  // Published names are no part of the policy, else nothing could ever be published there.
  const pool = worm(lanes.site().store, (path) => path.includes('/pool/'));
  const { row } = await lanes.replicate(
    again,
    'fra',
    lanes.activities({ stores: new Map([['fra', pool.store]]) }),
  );

  assert.deepEqual([row.served, row.state], [again, 'synced']);
  assert.equal((await replicationOf(lanes.database.read, AT)).code, null);
});

test('it would be seen if prune forgot what it was refused', async (t) => {
  const { lanes, activities } = await aSite(t, (path) => path.endsWith('hello_1.0_amd64.deb'));
  await prune(activities);
  await run(lanes.database.read, sql`delete from blob_registry where refused_at is not null`);
  await prune(lanes.activities());
  assert.equal(await isThere(lanes, OLD), true, 'it stays for ever');
});
