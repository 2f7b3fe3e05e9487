import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import test, { after, before } from 'node:test';

import { sql } from 'kysely';

import { applyCommand } from '../../../src/database/replications/commands.ts';
import type { RepoPath } from '../../../src/domain/repo-path.ts';
import type { SiteStore } from '../../../src/site/site-store.ts';
import { replicationOf } from '../../support/replication-of.ts';
import { rotAt } from '../../support/rot.ts';
import { counting, Killed, meddling, mortal } from '../stores.ts';
import { aPackage, code, inActivity, startLanes, type Lanes } from './lanes.ts';

const IN_RELEASE = 'debian/dists/bookworm/InRelease' as RepoPath;
const RELEASE = 'debian/dists/bookworm/Release' as RepoPath;
const PACKAGES = 'debian/dists/bookworm/main/binary-amd64/Packages.gz' as RepoPath;
const never = new AbortController().signal;
const stable = aPackage('stable', '1.0');

const stores = (store: SiteStore) => ({ stores: new Map([['fra', store]]) });
const digestAt = async (lanes: Lanes, path: RepoPath) => {
  const found = await lanes.site().store.checksum(path, never);
  return found === null || found === 'changed' ? null : found.sha256;
};
const upload = (lanes: Lanes, path: string, text: string) =>
  lanes.site().container.getBlockBlobClient(path).upload(text, Buffer.byteLength(text));
const publish = (lanes: Lanes, generation: number, replaced?: Parameters<Lanes['activities']>[0]) =>
  inActivity(() =>
    lanes
      .activities(replaced)
      .publishSnapshot({ distribution: 'bookworm', site: 'fra', generation }),
  );
const incidents = async (lanes: Lanes) => {
  const { rows } = await sql<{
    code: string;
    path: string;
  }>`select code, path from incidents order by id`.execute(lanes.database.read.kysely);
  return rows;
};

/** Records a failure of the lane, which unpins its generation unless a publication is open. */
const giveUp = (lanes: Lanes) =>
  inActivity(() =>
    lanes.activities().recordFailure({
      distribution: 'bookworm',
      site: 'fra',
      report: { code: 'STALLED', message: 'given up' },
    }),
  );

/** Everything up to the barrier. */
async function verified(lanes: Lanes, packages: Parameters<Lanes['capture']>[0]): Promise<number> {
  const generation = await lanes.capture(packages);
  const { planSync, syncBlobs, checksumBlobs, verifySnapshot } = lanes.activities();
  for (const step of [planSync, syncBlobs, checksumBlobs, verifySnapshot])
    await inActivity(() => step({ distribution: 'bookworm', site: 'fra', generation }));
  return generation;
}

// One installation for the publications below, which come one after the other.
const closers: (() => Promise<unknown>)[] = [];
let lanes: Lanes;
let first: number;
before(async () => {
  lanes = await startLanes({ after: (close) => closers.push(close) });
  first = await verified(lanes, [stable, aPackage('hello', '1.0')]);
});
after(async () => {
  for (const close of closers) await close();
});

test('a publication begins nothing while the public URL does not show the site', async () => {
  const hidden = { publicUrl: `${lanes.site().publicUrl}-hidden` };

  await assert.rejects(publish(lanes, first, hidden), (error) => code(error) === 'SITE_NOT_PUBLIC');

  const { rows } = await sql`select 1 from publications`.execute(lanes.database.read.kysely);
  assert.equal(rows.length, 0);
  assert.equal(await digestAt(lanes, PACKAGES), null);
});

test('a publication leaves a foreign blob at a published name alone', async () => {
  await upload(lanes, IN_RELEASE, 'not ours');
  const foreign = await digestAt(lanes, IN_RELEASE);

  await assert.rejects(publish(lanes, first), (error) => code(error) === 'FOREIGN_WRITE');

  assert.equal(await digestAt(lanes, IN_RELEASE), foreign);
  await lanes.site().container.deleteBlob(IN_RELEASE);
});

test('a publication that was interrupted goes on when the foreign blob is gone', async () => {
  const { row } = await lanes.replicate(first);

  assert.equal(row.served, first);
  assert.equal(row.publishing, false);
});

test('a publication of a served generation writes nothing', async () => {
  const counted = counting(lanes.site().store);

  await publish(lanes, first, stores(counted.store));
  await lanes.replicate(first, 'fra', lanes.activities(stores(counted.store)));

  assert.equal(counted.writes.size, 0);
});

test('a publication writes what differs, Release after indices, InRelease last', async () => {
  const counted = counting(lanes.site().store);
  const second = await lanes.capture([stable, aPackage('hello', '2.0')]);

  const { row } = await lanes.replicate(second, 'fra', lanes.activities(stores(counted.store)));

  const order = [...counted.writes.keys()];
  assert.equal(row.served, second);
  assert.ok(order.includes(PACKAGES));
  assert.equal(order.at(-1), IN_RELEASE);
  assert.equal(order.at(-2), RELEASE);
  assert.ok(!order.some((path) => path.includes('stable')), 'what did not change is left alone');
});

test('a publication never goes back', async () => {
  await assert.rejects(publish(lanes, first), (error) => code(error) === 'GENERATION_BACKWARDS');

  await giveUp(lanes);
});

test('a publication knows its own write whose answer was lost', async () => {
  const third = await verified(lanes, [stable, aPackage('hello', '3.0')]);
  const real = lanes.site().store;
  const conflicting: SiteStore = {
    site: real.site,
    checksum: (...args) => real.checksum(...args),
    open: (...args) => real.open(...args),
    remove: (...args) => real.remove(...args),
    put: async (...args) => (await real.put(...args), 'conflict'),
  };
  const counted = counting(real);

  const { row } = await publish(lanes, third, stores(conflicting));
  await inActivity(() =>
    lanes
      .activities(stores(counted.store))
      .probeSite({ distribution: 'bookworm', site: 'fra', generation: third }),
  );

  assert.equal(row.served, third);
  assert.equal(counted.writes.size, 0);
});

test('a publication stops at a foreign write, and keeps its generation pinned', async () => {
  const fourth = await verified(lanes, [stable, aPackage('hello', '4.0')]);
  const meddled = meddling(
    lanes.site().store,
    (call, path) => call === 'put' && path === RELEASE,
    () => upload(lanes, RELEASE, 'not ours'),
  );
  const before = await digestAt(lanes, IN_RELEASE);

  await assert.rejects(
    publish(lanes, fourth, stores(meddled)),
    (error) => code(error) === 'FOREIGN_WRITE',
  );

  assert.equal(await digestAt(lanes, IN_RELEASE), before, 'InRelease is not reached');
  await giveUp(lanes);
  const newer = await lanes.capture([stable, aPackage('hello', '5.0')]);
  await assert.rejects(publish(lanes, newer), (error) => code(error) === 'FENCED');
  await lanes.site().container.deleteBlob(RELEASE);
  assert.equal((await lanes.replicate(fourth)).row.served, fourth);
  assert.equal((await lanes.replicate(newer)).row.served, newer);
});

test('a publication lets Last-Modified of InRelease grow, however fast releases come', async () => {
  const seen: number[] = [];
  for (const version of ['6.0', '7.0']) {
    await lanes.replicate(await lanes.capture([stable, aPackage('hello', version)]));
    const found = await lanes.site().store.checksum(IN_RELEASE, never);
    seen.push(found === null || found === 'changed' ? 0 : found.lastModified);
  }

  assert.ok(seen[1]! > seen[0]!);
});

test('a publication goes on in a newer attempt; the older one changes nothing', async () => {
  const generation = await verified(lanes, [stable, aPackage('hello', '8.0')]);
  const victim = mortal(
    { store: lanes.site().store, database: lanes.database },
    { at: 2, when: 'after' },
  );
  const at = { distribution: 'bookworm', site: 'fra' };
  const { ticket } = await replicationOf(lanes.database.read, at);
  const input = { ...at, generation, ticket: ticket! };
  const dead = lanes.activities({ ...stores(victim.store), database: victim.database });

  await assert.rejects(
    inActivity(() => dead.publishSnapshot(input), { attempt: 2 }),
    Killed,
  );
  await assert.rejects(
    inActivity(() => lanes.activities().publishSnapshot(input), { attempt: 1 }),
    (error) => code(error) === 'FENCED',
  );
  const older = await inActivity(() =>
    lanes.activities().publishSnapshot({ ...input, ticket: ticket! - 1_000 }),
  );
  assert.deepEqual([older.stale, older.row.publishing], [true, true]);

  await sql`
        update publications set started_at = started_at - interval '1 hour'
        where published_at is null`.execute(lanes.database.read.kysely);
  assert.equal((await lanes.replicate(generation)).row.served, generation);
  const { rows } = await sql<{
    window: number;
  }>`select window_ms as window from distribution_replications`.execute(lanes.database.read.kysely);
  assert.ok(rows[0]!.window >= 3_600_000, 'the window began with the attempt that was killed');
});

test('a publication that verifies repairs a rotten byte and a lost name', async () => {
  const { row: served } = await lanes.replicate(
    await lanes.capture([stable, aPackage('hello', '9.0')]),
  );
  const before = await digestAt(lanes, PACKAGES);
  const published = new Set([PACKAGES, RELEASE].map((path) => path.slice('debian/'.length)));
  await sql`delete from incidents`.execute(lanes.database.read.kysely);
  await rotAt(lanes.site().container, 'fra', PACKAGES);
  assert.notEqual(await digestAt(lanes, PACKAGES), before, 'the rot is there');
  await lanes.site().container.deleteBlob(RELEASE);
  await applyCommand(
    lanes.database,
    { distribution: 'bookworm', site: 'fra' },
    { verify: true },
    1,
  );

  const { row } = await lanes.replicate(served.served);

  assert.equal(await digestAt(lanes, PACKAGES), before);
  assert.notEqual(await digestAt(lanes, RELEASE), null);
  assert.equal(row.state, 'synced');
  assert.equal(row.verifyRequestedAt, null);
  const found = (await incidents(lanes)).filter(
    (one) => one.code === 'BLOB_CORRUPT' && published.has(one.path),
  );
  assert.equal(found.length, published.size);
});

test('an index that the snapshot lacks is deleted before Release, an InRelease last', async (t) => {
  const lanes = await startLanes(t, { archive: { compressions: ['gz', 'xz'] } });
  await lanes.replicate(await lanes.capture([stable]));
  const withoutInRelease = (path: string) =>
    !path.endsWith('/InRelease') && !path.endsWith('Packages.xz');
  await rm(`${lanes.folder}/dists/bookworm/InRelease`);
  await rm(`${lanes.folder}/dists/bookworm/main/binary-amd64/Packages.xz`);
  await rm(`${lanes.folder}/dists/bookworm/main/binary-amd64/by-hash`, { recursive: true });
  const generation = await lanes.capture(
    [stable, aPackage('hello', '2.0')],
    'bookworm',
    (content) => ({
      ...content,
      files: content.files.filter((file) => withoutInRelease(file.path) && file.kind !== 'by-hash'),
    }),
  );
  const counted = counting(lanes.site().store);

  await lanes.replicate(generation, 'fra', lanes.activities(stores(counted.store)));

  const order = [...counted.writes.keys()].filter(
    (path) => path.includes('/dists/') && !path.includes('/by-hash/'),
  );
  assert.equal(order.at(-1), IN_RELEASE);
  assert.equal(await digestAt(lanes, IN_RELEASE), null);
  assert.ok(order.indexOf(PACKAGES.replace('.gz', '.xz') as RepoPath) < order.indexOf(RELEASE));
  assert.equal(await digestAt(lanes, PACKAGES.replace('.gz', '.xz') as RepoPath), null);
});

test('without InRelease, Last-Modified of Release grows, however fast releases come', async (t) => {
  const lanes = await startLanes(t, { archive: { releaseSet: 'detached' } });
  const generations: number[] = [];
  for (const version of ['1.0', '2.0', '3.0', '4.0'])
    generations.push(await lanes.capture([stable, aPackage('hello', version)]));
  const seen: number[] = [];

  for (const generation of generations) {
    await lanes.replicate(generation);
    const found = await lanes.site().store.checksum(RELEASE, never);
    seen.push(found === null || found === 'changed' ? 0 : found.lastModified);
  }

  assert.ok(
    seen.every((time, at) => at === 0 || time > seen[at - 1]!),
    seen.join(),
  );
  assert.equal(await digestAt(lanes, IN_RELEASE), null);
});
