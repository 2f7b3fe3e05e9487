/**
 * PostgreSQL was restored from a backup, and its sites are newer: lanes go forward over what the
 * database lost, nothing is deleted meanwhile, and nothing at the site is believed.
 */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';

import { sql } from 'kysely';

import { noticeRestore } from '../../../src/database/anchors/restored.ts';
import { readStatus } from '../../../src/database/views/status.ts';
import { listSites } from '../../../src/database/views/work.ts';
import { sha256Of } from '../../../src/domain/sha256.ts';
import type { Package } from '../../../src/made-archive/deb-package.ts';
import { encodeHead } from '../../../src/site-format/anchors.ts';
import { decodeHead, decodeSite } from '../../../src/site-format/decode.ts';
import { headPath, SITE_PATH } from '../../../src/site-format/paths.ts';
import type { SiteStore } from '../../../src/site/site-store.ts';
import { walkSite } from '../../../src/witness/walk-site.ts';
import { replicationOf } from '../../support/replication-of.ts';
import { meddling } from '../stores.ts';
import { aPackage, code, inActivity, startLanes, type Lanes } from './lanes.ts';

const AT = { distribution: 'bookworm', site: 'fra' };
const HEAD = headPath({ mount: 'debian', suite: 'bookworm' });
const [ALPHA, FOXTROT, BRAVO] = ['alpha', 'foxtrot', 'bravo'].map((name) => aPackage(name, '1.0'));

const outcomeOf = (work: Promise<unknown>): Promise<string> => work.then(() => 'done', code);

const read = (lanes: Lanes, path: string): Promise<Buffer> =>
  lanes.site().container.getBlobClient(path).downloadToBuffer();

const upload = (lanes: Lanes, path: string, bytes: Uint8Array): Promise<unknown> =>
  lanes.site().container.getBlockBlobClient(path).upload(bytes, bytes.length);

async function assertWhole(lanes: Lanes, packages: number): Promise<void> {
  const { faults, poolFiles } = await walkSite({
    url: `${lanes.site().publicUrl}/debian`,
    suite: 'bookworm',
    keyring: lanes.keyring,
  });
  assert.deepEqual([faults, poolFiles], [[], packages]);
}

const serve = async (lanes: Lanes, packages: readonly Package[]): Promise<number> => {
  const generation = await lanes.capture(packages);
  await lanes.replicate(generation);
  return generation;
};

/** As its workflow does: until it is served, or a failure is to be recorded. */
async function go(lanes: Lanes, generation: number): Promise<string> {
  const outcome = await outcomeOf(lanes.replicate(generation));
  // what was ahead is booked with the failure, and the lane is due again
  return outcome === 'SITE_AHEAD' ? outcomeOf(lanes.replicate(generation)) : outcome;
}

const rowsOf = (lanes: Lanes) =>
  sql<{ lost: boolean; open: number; epoch: number; unsettled: number }>`
    select bool_or(r.lost_release is not null) as lost,
      (select count(*)::int from publications
       where published_at is null and given_up_at is null) as open,
      (select epoch from deployment) as epoch,
      (select count(*)::int from blob_registry where not settled) as unsettled
    from distribution_replications r`
    .execute(lanes.database.read.kysely)
    .then(({ rows }) => rows[0]!);

/** Two releases served; a backup; two more. */
async function restored(t: TestContext): Promise<{ lanes: Lanes; backup: Lanes }> {
  const lanes = await startLanes(t);
  for (const packages of [[ALPHA!, FOXTROT!], [ALPHA!]]) await serve(lanes, packages);
  const backup = await lanes.backUp(t);
  for (const packages of [
    [ALPHA!, FOXTROT!, BRAVO!],
    [ALPHA!, BRAVO!],
  ])
    await serve(lanes, packages);
  return { lanes, backup };
}

const withoutGrace = ({ database }: Lanes) =>
  sql`update replication_sites set grace_ms = 0, kept_generations = 1`.execute(
    database.read.kysely,
  );

async function prune(lanes: Lanes): Promise<string> {
  const { planPrune, pruneBlobs } = lanes.activities();
  return outcomeOf(
    (async () => {
      await inActivity(() => planPrune({ site: 'fra' }));
      for (let more = true; more;) ({ more } = await inActivity(() => pruneBlobs({ site: 'fra' })));
    })(),
  );
}

test('a lane goes forward over what the database lost; no publication stays open', async (t) => {
  const { backup } = await restored(t);
  const generation = await backup.capture([ALPHA!, BRAVO!, aPackage('hello', '1.0')]);

  assert.equal(await outcomeOf(backup.replicate(generation)), 'SITE_AHEAD');

  await assertWhole(backup, 2);
  const { lost, open, epoch, unsettled } = await rowsOf(backup);
  assert.deepEqual([lost, open, epoch], [true, 0, 1]);
  assert.ok(unsettled > 0, 'nothing there is believed');
  const row = await replicationOf(backup.database.read, AT);
  assert.deepEqual([row.state, row.pinned, row.retryAt], ['pending', null, null]);

  assert.equal(await outcomeOf(backup.replicate(generation)), 'done');
  await assertWhole(backup, 3);
  assert.equal((await rowsOf(backup)).lost, false);
  const head = decodeHead(await read(backup, HEAD), HEAD);
  assert.equal(head.deployment.epoch, 1);
  const [status] = await readStatus(backup.database);
  assert.deepEqual([status!.status, status!.incidents], ['success', []]);
});

test('the same release as the visible one is published over it', async (t) => {
  const { backup } = await restored(t);
  const generation = await backup.capture([ALPHA!, BRAVO!]);
  assert.equal(await go(backup, generation), 'done');
  await assertWhole(backup, 2);
});

test('an older release than the visible one waits, and nothing is copied for it', async (t) => {
  const { backup } = await restored(t);
  // what the archive had when the backup was made
  const [older] = (await readStatus(backup.database)).map(({ generation }) => generation);
  await sql`update distribution_replications set verify_requested_at = now()`.execute(
    backup.database.read.kysely,
  );
  const before = await read(backup, 'debian/dists/bookworm/InRelease');
  assert.equal(await outcomeOf(backup.replicate(older!)), 'SITE_AHEAD');
  const asked: string[] = [];
  const watched = meddling(
    backup.site().store,
    (call, path) => (path.startsWith('debian/') && asked.push(call), false),
    async () => undefined,
  );

  const activities = backup.activities({ stores: new Map([['fra', watched]]) });
  assert.equal(await outcomeOf(backup.replicate(older!, 'fra', activities)), 'SITE_AHEAD');
  assert.deepEqual(
    asked.filter((call) => call === 'put' || call === 'remove'),
    [],
  );
  assert.deepEqual(await read(backup, 'debian/dists/bookworm/InRelease'), before);

  const report = { code: 'SITE_AHEAD', message: 'as the lane says' } as const;
  const row = await inActivity(() => activities.recordFailure({ ...AT, report }));
  assert.deepEqual([row!.pinned, row!.retryAt === null], [null, false], 'it asks again by itself');
  const newer = await backup.capture([ALPHA!]);
  assert.equal(await outcomeOf(backup.replicate(newer)), 'done');
  await assertWhole(backup, 1);
});

test('prune deletes nothing until the grace of the lost release is over', async (t) => {
  const { backup } = await restored(t);
  await withoutGrace(backup);
  await sql`update replication_sites set grace_ms = 3600000`.execute(backup.database.read.kysely);
  assert.equal(await prune(backup), 'SITE_AHEAD');
  assert.equal((await rowsOf(backup)).lost, true, 'prune books what it finds');

  const generation = await backup.capture([ALPHA!]);
  assert.equal(await go(backup, generation), 'done');
  assert.equal(await prune(backup), 'SITE_BEHIND', 'clients may still read the lost release');
  await withoutGrace(backup);
  await backup.endGrace();
  assert.equal(await prune(backup), 'done');
  await assertWhole(backup, 1);
});

/** Since the backup foxtrot was deleted, and nothing was published; then it comes back. */
async function prunedSince(t: TestContext, forget = false): Promise<void> {
  const lanes = await startLanes(t);
  for (const packages of [[ALPHA!, FOXTROT!], [ALPHA!]]) await serve(lanes, packages);
  const backup = await lanes.backUp(t);
  await withoutGrace(lanes);
  assert.equal(await prune(lanes), 'done');
  const foxtrot = 'debian/pool/main/f/foxtrot/foxtrot_1.0_amd64.deb';
  const is = () => lanes.site().container.getBlobClient(foxtrot).exists();
  assert.equal(await is(), false);
  if (forget) {
    const head = decodeHead(await read(lanes, HEAD), HEAD);
    await upload(lanes, HEAD, encodeHead({ ...head, pruned: 0 }).bytes);
  }

  const generation = await backup.capture([ALPHA!, FOXTROT!]);
  const first = await outcomeOf(backup.replicate(generation));
  if (first === 'SITE_AHEAD') assert.equal(await outcomeOf(backup.replicate(generation)), 'done');

  await assertWhole(backup, 2);
  assert.equal(first, 'SITE_AHEAD');
  assert.equal((await rowsOf(backup)).lost, false);
}

test('what was deleted since the backup is not believed to be there', (t) => prunedSince(t));

test('it would be torn if H did not say that files were deleted', (t) =>
  assert.rejects(prunedSince(t, true), { code: 'ERR_ASSERTION' }));

test('a path with other bytes since the backup is in the way of nothing', async (t) => {
  const lanes = await startLanes(t);
  for (const packages of [[ALPHA!, FOXTROT!], [ALPHA!]]) await serve(lanes, packages);
  const backup = await lanes.backUp(t);
  await withoutGrace(lanes);
  assert.equal(await prune(lanes), 'done');
  const other = aPackage('foxtrot', '1.0');
  await rm(join(lanes.folder, 'pool/main/f/foxtrot'), { recursive: true });
  await serve(lanes, [ALPHA!, other]);

  const generation = await backup.capture([ALPHA!, other, BRAVO!]);
  // as its workflow does when a worker starts
  await inActivity(() => backup.activities().confirmSite({ site: 'fra' }));
  assert.equal(await go(backup, generation), 'done');
  await assertWhole(backup, 3);
});

/** The same path; and the archive has the release of the backup again. */
async function otherBytesThere(t: TestContext, believing = false): Promise<void> {
  const lanes = await startLanes(t);
  await serve(lanes, [ALPHA!, FOXTROT!]);
  const backup = await lanes.backUp(t);
  await serve(lanes, [ALPHA!]);
  await withoutGrace(lanes);
  assert.equal(await prune(lanes), 'done');
  await rm(join(lanes.folder, 'pool/main/f/foxtrot'), { recursive: true });
  await serve(lanes, [ALPHA!, aPackage('foxtrot', '1.0')]);
  await sql`
    update distribution_replications
    set verify_requested_at = now()`.execute(backup.database.read.kysely);
  await sql`update blob_registry set verification_state = 0`.execute(backup.database.read.kysely);
  const store = backup.site().store;
  const known = meddling(
    store,
    () => false,
    async () => undefined,
  );
  const checksum: SiteStore['checksum'] = (path, signal, etag) =>
    store.checksum(path, signal, path.startsWith('.debgeo/') ? undefined : etag);
  const stores = new Map([['fra', believing ? { ...known, checksum } : store]]);

  const outcome = await outcomeOf(backup.replicate(1, 'fra', backup.activities({ stores })));

  await assertWhole(lanes, 2);
  assert.equal((await rowsOf(backup)).lost, true);
  // the attempt is over; what it had claimed may say so first
  assert.match(outcome, /^(SITE_AHEAD|FENCED)$/);
}

test('bytes that only a lost release names are not taken for rot', (t) => otherBytesThere(t));

test('they would be, if a lane did not ask before it replaces them', (t) =>
  assert.rejects(otherBytesThere(t, true), { code: 'ERR_ASSERTION' }));

test('the database that was restored meanwhile stops the one that it was', async (t) => {
  const { lanes, backup } = await restored(t);
  assert.equal(await go(backup, await backup.capture([ALPHA!])), 'done');

  const late = await lanes.capture([ALPHA!, BRAVO!]);
  assert.equal(await outcomeOf(lanes.replicate(late)), 'SITE_TAKEN');
  await assertWhole(backup, 1);
});

test('a second restore of the same backup waits for a person', async (t) => {
  const { lanes, backup } = await restored(t);
  const again = await backup.backUp(t);
  assert.equal(await go(backup, await backup.capture([ALPHA!])), 'done');

  const generation = await again.capture([ALPHA!, FOXTROT!]);
  assert.equal(await outcomeOf(again.replicate(generation)), 'SITE_TAKEN');
  await assertWhole(lanes, 1);
});

test('a backup of before the site was claimed leads forward, too', async (t) => {
  const lanes = await startLanes(t);
  const backup = await lanes.backUp(t);
  await serve(lanes, [ALPHA!]);
  const generation = await backup.capture([ALPHA!, BRAVO!]);
  assert.equal(await go(backup, generation), 'done');
  await assertWhole(backup, 2);
  const { heads } = decodeSite(await read(backup, SITE_PATH), SITE_PATH);
  assert.equal(heads.length, 1);
});

test('an H that names what no key signed reaches no other site, and not the catalog', async (t) => {
  const lanes = await startLanes(t, { sites: ['fra', 'ams'] });
  const generation = await lanes.capture([ALPHA!]);
  for (const site of ['fra', 'ams']) await lanes.replicate(generation, site);
  const head = decodeHead(await read(lanes, HEAD), HEAD);
  const release = sha256Of(Buffer.from('made up'));
  await upload(lanes, HEAD, encodeHead({ ...head, release }).bytes);

  const next = await lanes.capture([ALPHA!, BRAVO!]);
  assert.equal(await outcomeOf(lanes.replicate(next, 'ams')), 'done');
  assert.equal(await go(lanes, next), 'done');

  assert.equal((await readStatus(lanes.database))[0]!.generation, next);
  await assertWhole(lanes, 2);
});

test('nothing at a site that turned out to be older is verified', async (t) => {
  const lanes = await startLanes(t);
  await serve(lanes, [ALPHA!, FOXTROT!]);
  const { container } = lanes.site();
  for await (const { name } of container.listBlobsFlat()) await container.deleteBlob(name);
  const { confirmSite } = lanes.activities();

  await inActivity(() => confirmSite({ site: 'fra' }));

  const [status] = await readStatus(lanes.database);
  const [site] = status!.sites;
  assert.deepEqual([status!.status, site!.verified, site!.filesDone], ['pending', 0, 0]);
  await lanes.replicate(1);
  await assertWhole(lanes, 2);
});

test('rows become newer than all that workflows hold, once', async (t) => {
  const lanes = await startLanes(t, { sites: ['fra', 'ams'] });
  const generation = await lanes.capture([ALPHA!]);
  for (const site of await listSites(lanes.database)) await lanes.replicate(generation, site);
  const { loadRoster } = lanes.activities();
  const load = (seenRev?: number) =>
    inActivity(() => loadRoster({ distribution: 'bookworm', ...(seenRev ? { seenRev } : {}) }));
  const { rev, replications } = await load();
  const seen = Math.max(rev, ...replications.map((row) => row.rev));
  assert.equal((await load(seen)).rev, rev);

  const after = await load(seen + 5);

  const revs = [after.rev, ...after.replications.map((row) => row.rev)];
  assert.ok(revs.every((one) => one > seen + 5));
  const { epoch, unsettled } = await rowsOf(lanes);
  assert.equal(epoch, 1);
  assert.ok(unsettled > 0);
  for (const row of after.replications) assert.equal(row.state, 'pending');
  await noticeRestore(lanes.database, 'bookworm', seen + 5);
  assert.equal((await rowsOf(lanes)).epoch, 1);
  for (const site of await listSites(lanes.database)) await lanes.replicate(generation, site);
  assert.equal((await rowsOf(lanes)).unsettled, 0);
  await assertWhole(lanes, 1);
});
