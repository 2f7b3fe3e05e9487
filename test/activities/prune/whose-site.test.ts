/**
 * Prune at a site that is not as the database believes: another deployment writes there, or the
 * database was restored from an older backup. Whatever it believes, no file that the site serves
 * goes.
 */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import { sql } from 'kysely';

import type { Activities } from '../../../activities/index.ts';
import { once } from '../../../activities/once.ts';
import { readHead } from '../../../src/database/anchors/heads.ts';
import type { Package } from '../../../src/made-archive/deb-package.ts';
import { encodeHead } from '../../../src/site-format/anchors.ts';
import type { SiteStore } from '../../../src/site/site-store.ts';
import { walkSite } from '../../../src/witness/walk-site.ts';
import { aPackage, code, inActivity, startLanes, type Lanes } from '../lane/lanes.ts';
import { meddling, misplacingSite } from '../stores.ts';

const [ALPHA, FOXTROT, BRAVO] = ['alpha', 'foxtrot', 'bravo'].map((name) => aPackage(name, '1.0'));
type Planted = (lanes: Lanes) => Activities;
const real: Planted = (lanes) => lanes.activities();

/** Lets prune take all that the site stopped serving but for the newest. */
const withoutGrace = (lanes: Lanes) =>
  sql`update replication_sites set grace_ms = 0, kept_generations = 1`.execute(
    lanes.database.read.kysely,
  );

/** One prune of the site. @returns the code that refused it, null: it ended well */
async function prune(lanes: Lanes, activities: Activities): Promise<string | null> {
  await withoutGrace(lanes);
  try {
    await inActivity(() => activities.planPrune({ site: 'fra' }));
    for (let more = true; more;)
      ({ more } = await inActivity(() => activities.pruneBlobs({ site: 'fra' })));
    return null;
  } catch (error) {
    return code(error);
  }
}

const outcomeOf = (replicating: Promise<unknown>): Promise<string> =>
  replicating.then(() => 'served', code);

/** Everything from InRelease down is there. */
async function assertServed(lanes: Lanes, suite: string): Promise<void> {
  const { faults } = await walkSite({
    url: `${lanes.site().publicUrl}/debian`,
    suite,
    keyring: lanes.keyring,
  });
  assert.deepEqual(faults, [], `${suite} is not whole`);
}

/** A5: two suites share foxtrot; the first deployment drops it and prunes. */
async function twoDeployments(t: TestContext, planted = real): Promise<void> {
  const one = await startLanes(t, { suites: ['one'] });
  await one.replicate(await one.capture([ALPHA!, FOXTROT!]), 'fra', one.activities(), 'one');
  const two = await startLanes(t, { suites: ['two'], container: one.site().container });
  const generation = await two.capture([FOXTROT!, BRAVO!]);

  const outcome = await outcomeOf(two.replicate(generation, 'fra', planted(two), 'two'));
  for (const packages of [[ALPHA!], [ALPHA!, BRAVO!]])
    await one.replicate(await one.capture(packages), 'fra', one.activities(), 'one');
  const refused = await prune(one, one.activities());

  await assertServed(one, 'one');
  if (outcome === 'served') await assertServed(two, 'two');
  assert.deepEqual([outcome, refused], ['SITE_TAKEN', null]);
}

/** A4a: foxtrot went with the second release, and came back with the third. */
async function restoredDatabase(t: TestContext, planted = real): Promise<void> {
  const lanes = await startLanes(t);
  for (const packages of [[ALPHA!, FOXTROT!], [ALPHA!]])
    await lanes.replicate(await lanes.capture(packages));
  const restored = await lanes.backUp(t);
  await lanes.replicate(await lanes.capture([ALPHA!, FOXTROT!, BRAVO!]));

  const refused = await prune(restored, planted(restored));

  await assertServed(lanes, 'bookworm');
  assert.equal(refused, 'SITE_AHEAD');
}

/** A suite was added since the backup, and shares foxtrot; to the backup it is unneeded. */
async function addedSuite(t: TestContext, planted = real): Promise<void> {
  const lanes = await startLanes(t, { suites: ['bookworm', 'trixie'] });
  const replicate = async (packages: readonly Package[], suite: string): Promise<void> => {
    await lanes.replicate(await lanes.capture(packages, suite), 'fra', lanes.activities(), suite);
  };
  for (const packages of [[ALPHA!, FOXTROT!], [ALPHA!]]) await replicate(packages, 'bookworm');
  await sql`update debian_distributions set removed = true where name = 'trixie'`.execute(
    lanes.database.read.kysely,
  );
  await sql`
    delete from distribution_replications
    where distribution_id = (select id from debian_distributions where name = 'trixie')`.execute(
    lanes.database.read.kysely,
  );
  const restored = await lanes.backUp(t);
  await applyAgain(lanes);
  await replicate([FOXTROT!, BRAVO!], 'trixie');

  const refused = await prune(restored, planted(restored));

  await assertServed(lanes, 'bookworm');
  await assertServed(lanes, 'trixie');
  assert.equal(refused, 'SITE_AHEAD');
}

const applyAgain = async ({ database }: Lanes): Promise<void> => {
  await sql`update debian_distributions set removed = false`.execute(database.read.kysely);
  await sql`
    insert into distribution_replications (distribution_id, site_id)
    select d.id, s.id
    from debian_distributions d, replication_sites s
    on conflict do nothing`.execute(database.read.kysely);
};

test('a restored database knows of a suite that was added since', (t) => addedSuite(t));

test('a restored database that claims the site anew learns of such a suite, too', (t) =>
  addedSuite(t, (restored) => {
    const activities = restored.activities();
    const { read } = restored.database;
    const forgotten = sql`update replication_sites set anchor_etag = null`.execute(read.kysely);
    const planPrune: Activities['planPrune'] = async (input) => {
      await forgotten;
      return activities.planPrune(input);
    };
    return { ...activities, planPrune };
  }));

test('it would be seen if S named no suite', (t) =>
  assert.rejects(addedSuite(t, believingSite), assert.AssertionError));

test('two deployments in one container: the second is refused, and harms nothing', (t) =>
  twoDeployments(t));

test('a restored database deletes nothing that the site serves', (t) => restoredDatabase(t));

/** A lane that claims the site where no other looks. */
const claimingElsewhere: Planted = (lanes) =>
  lanes.activities({ stores: new Map([['fra', misplacingSite(lanes.site().store)]]) });

/** A prune that takes S for the one that it knows. */
function believingSite(lanes: Lanes): Activities {
  return lanes.activities({ stores: new Map([['fra', believed(lanes, '.debgeo/site.json')]]) });
}

/** A prune that takes every H for the one that it knows, also where it writes it anew. */
const believingHeads: Planted = (lanes) => {
  const { database } = lanes;
  const store = believed(lanes, '.debgeo/heads/');
  const reading: SiteStore = {
    ...store,
    open: async (path, signal) => {
      const found = await store.open(path, signal);
      if (found === null || !path.startsWith('.debgeo/heads/')) return found;
      const { head, deployment, prunes } = await readHead(database.read, {
        siteId: 1,
        distributionId: 1,
      });
      const known = { deployment, release: head!.release, previous: null, pruned: prunes };
      const { bytes } = encodeHead(known);
      return { ...found, size: bytes.length, bytes: once(bytes) };
    },
  };
  return lanes.activities({ stores: new Map([['fra', reading]]) });
};

function believed(lanes: Lanes, prefix: string): SiteStore {
  const { store } = lanes.site();
  return {
    site: store.site,
    open: (...args) => store.open(...args),
    put: (...args) => store.put(...args),
    remove: (...args) => store.remove(...args),
    checksum: (path, signal, etag) =>
      store.checksum(path, signal, path.startsWith(prefix) ? undefined : etag),
  };
}

test('it would be seen if a lane claimed the site where no other looks', (t) =>
  assert.rejects(twoDeployments(t, claimingElsewhere), assert.AssertionError));

test('it would be seen if a prune did not ask what the site serves', (t) =>
  assert.rejects(restoredDatabase(t, believingHeads), assert.AssertionError));

/** What is at `path` is changed while two releases are pruned: nothing goes until it is back. */
async function refusedWhile(lanes: Lanes, path: string, bytes: Buffer | null): Promise<string> {
  const blob = lanes.site().container.getBlockBlobClient(path);
  const right = await blob.downloadToBuffer();
  await (bytes === null ? blob.delete() : blob.upload(bytes, bytes.length));
  const before = await namesOf(lanes);

  const refused = await prune(lanes, lanes.activities());

  assert.deepEqual(await namesOf(lanes), before, 'nothing was deleted');
  await blob.upload(right, right.length);
  return refused ?? 'pruned';
}

async function namesOf(lanes: Lanes): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of lanes.site().container.listBlobsFlat()) names.push(name);
  return names;
}

const OTHER =
  '{"format":1,"deployment":"a86fd1e5-8d8b-4f87-9d5c-1e2c2f0f6a55","epoch":0,"heads":[]}';

test('a prune goes on only at a site that is as the database believes', async (t) => {
  const lanes = await startLanes(t);
  const S = '.debgeo/site.json';
  const H = '.debgeo/heads/debian/bookworm.json';
  for (const packages of [[ALPHA!, FOXTROT!], [ALPHA!], [ALPHA!, BRAVO!]])
    await lanes.replicate(await lanes.capture(packages));

  assert.equal(await refusedWhile(lanes, S, Buffer.from(OTHER)), 'SITE_TAKEN');
  assert.equal(await refusedWhile(lanes, S, null), 'SITE_BEHIND');
  assert.equal(await refusedWhile(lanes, S, Buffer.from('{}')), 'ANCHOR_UNREADABLE');
  assert.equal(await refusedWhile(lanes, H, null), 'SITE_BEHIND');
  assert.equal(await refusedWhile(lanes, H, Buffer.from('{"format":2}')), 'ANCHOR_UNREADABLE');

  await lanes.replicate(3);
  await lanes.endGrace();

  // and R goes before what only R names
  const removed: string[] = [];
  const watching = meddling(
    lanes.site().store,
    (call, path) => {
      if (call === 'remove') removed.push(path);
      return false;
    },
    async () => undefined,
  );
  const stores = new Map([['fra', watching]]);
  assert.equal(await prune(lanes, lanes.activities({ stores })), null);
  const kinds = removed.map((path) => (path.startsWith('.debgeo/releases/') ? 'R' : 'blob'));
  assert.deepEqual(kinds.slice(0, 3), ['R', 'R', 'blob']);
  assert.equal(kinds.lastIndexOf('R'), 1);
  // of the newest release: before it was read back, and since
  assert.equal((await namesOf(lanes)).filter((name) => name.includes('/releases/')).length, 2);
  await assertServed(lanes, 'bookworm');
});
