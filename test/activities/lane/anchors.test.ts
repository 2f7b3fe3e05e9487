/** Whose a site is, and what may be visible there: `.debgeo/` beside claims and publications. */
import assert from 'node:assert/strict';
import test, { after, before, type TestContext } from 'node:test';

import { sql } from 'kysely';

import type { Activities } from '../../../activities/index.ts';
import { run } from '../../../src/database/sql.ts';
import type { RepoPath } from '../../../src/domain/repo-path.ts';
import { sha256Of } from '../../../src/domain/sha256.ts';
import { encodeHead, encodeSite, type Encoded } from '../../../src/site-format/anchors.ts';
import { decodeHead, decodeRelease, decodeSite } from '../../../src/site-format/decode.ts';
import { headPath, releasePath, SITE_PATH } from '../../../src/site-format/paths.ts';
import type { SiteStore } from '../../../src/site/site-store.ts';
import { Killed, meddling, misplacingSite, mortal } from '../stores.ts';
import { aPackage, code, inActivity, startLanes, type Lanes } from './lanes.ts';

const AT = { mount: 'debian', suite: 'bookworm' };
const HEAD = headPath(AT);
const IN_RELEASE = 'debian/dists/bookworm/InRelease';
const OTHER = { id: 'a86fd1e5-8d8b-4f87-9d5c-1e2c2f0f6a55', epoch: 0 };
const stable = aPackage('stable', '1.0');
const stores = (store: SiteStore) => ({ stores: new Map([['fra', store]]) });

const read = (lanes: Lanes, path: string): Promise<Buffer> =>
  lanes.site().container.getBlobClient(path).downloadToBuffer();
const write = (lanes: Lanes, path: string, bytes: Uint8Array) =>
  lanes.site().container.getBlockBlobClient(path).upload(bytes, bytes.length);
const remove = (lanes: Lanes, path: string) => lanes.site().container.getBlobClient(path).delete();
const exists = (lanes: Lanes, path: string) => lanes.site().container.getBlobClient(path).exists();
const headAt = async (lanes: Lanes) => decodeHead(await read(lanes, HEAD), HEAD);
const deploymentOf = async (lanes: Lanes) =>
  (await sql<typeof OTHER>`select id, epoch from deployment`.execute(lanes.database.read.kysely))
    .rows[0]!;

/** ETags of everything that clients read. */
async function served(lanes: Lanes): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for await (const { name, properties } of lanes.site().container.listBlobsFlat())
    if (!name.startsWith('.debgeo/')) found.set(name, properties.etag);
  return found;
}

/** Everything up to the barrier. */
async function verified(lanes: Lanes, version: string): Promise<number> {
  const generation = await lanes.capture([stable, aPackage('hello', version)]);
  const { syncBlobs, checksumBlobs, verifySnapshot } = lanes.activities();
  const input = { distribution: 'bookworm', site: 'fra', generation };
  await inActivity(() => syncBlobs({ ...input, plan: true }));
  await inActivity(() => checksumBlobs(input));
  await inActivity(() => verifySnapshot(input));
  return generation;
}

const publish = (lanes: Lanes, generation: number, store = lanes.site().store) =>
  inActivity(() =>
    lanes
      .activities(stores(store))
      .publishSnapshot({ distribution: 'bookworm', site: 'fra', generation, probe: true }),
  );

// One installation for the tests below, which come one after the other.
const closers: (() => Promise<unknown>)[] = [];
let lanes: Lanes;
before(async () => {
  lanes = await startLanes({ after: (close) => closers.push(close) });
});
after(async () => {
  for (const close of closers) await close();
});

test('the first step claims the site, before it writes anything else', async () => {
  const written: string[] = [];
  const { store } = lanes.site();
  const watching: SiteStore = {
    site: store.site,
    checksum: (...args) => store.checksum(...args),
    open: (...args) => store.open(...args),
    remove: (...args) => store.remove(...args),
    put: (path, ...args) => (written.push(path), store.put(path, ...args)),
  };
  const generation = await lanes.capture([stable, aPackage('hello', '1.0')]);

  await lanes.replicate(generation, 'fra', lanes.activities(stores(watching)));

  assert.equal(written[0], SITE_PATH);
  assert.equal(written.filter((path) => path === SITE_PATH).length, 2, 'and names its suite');
  const { deployment, heads } = decodeSite(await read(lanes, SITE_PATH), SITE_PATH);
  assert.deepEqual([deployment, heads], [await deploymentOf(lanes), [AT]]);
  assert.ok(written.lastIndexOf(SITE_PATH) < written.indexOf(HEAD));

  const names = written.filter((path) => path.startsWith('debian/dists/'));
  const head = await headAt(lanes);
  const release = releasePath(AT, head.release);
  const published = names.filter((path) => !path.includes('/by-hash/'));
  assert.deepEqual(
    [release, HEAD, ...published],
    written.filter((path) => [release, HEAD, ...published].includes(path as RepoPath)),
    'R, then H, then the first published name',
  );
});

test('H names R by its digest, and R holds the release', async () => {
  const { deployment, release, previous } = await headAt(lanes);
  assert.deepEqual([deployment, previous], [await deploymentOf(lanes), null]);
  const place = releasePath(AT, release);
  const bytes = await read(lanes, place);
  assert.equal(sha256Of(bytes), release);
  const found = decodeRelease(bytes, place);
  assert.deepEqual({ mount: found.mount, suite: found.suite }, AT);
  assert.deepEqual(Buffer.from(found.releaseSet.inRelease!), await read(lanes, IN_RELEASE));
});

test('the next release names the one before, and costs two small writes more', async () => {
  const first = await headAt(lanes);
  const generation = await verified(lanes, '2.0');
  const asked: string[] = [];
  const counted = meddling(
    lanes.site().store,
    (call, path) => {
      if (path.startsWith('.debgeo/')) asked.push(call);
      return false;
    },
    async () => undefined,
  );

  await publish(lanes, generation, counted);

  assert.deepEqual(asked, ['put', 'put']);
  const { release, previous } = await headAt(lanes);
  assert.equal(previous, first.release);
  const place = releasePath(AT, release);
  assert.equal(decodeRelease(await read(lanes, place), place).previous, first.release);
});

test('an H whose answer was lost is known as ours', async () => {
  const generation = await verified(lanes, '3.0');
  for (const when of ['before', 'after'] as const)
    for (const at of [1, 2]) {
      const victim = mortal({ store: lanes.site().store, database: lanes.database }, { at, when });
      await assert.rejects(publish(lanes, generation, victim.store), Killed);
    }

  const { row } = await publish(lanes, generation);

  assert.equal(row.served, generation);
});

/** A publication that finds `wrong` at the site is refused, and goes on when that is over. */
async function refusedWhile(
  expected: string,
  path: RepoPath,
  wrong: Uint8Array | null,
  store?: SiteStore,
): Promise<void> {
  const generation = await verified(lanes, `${Date.now()}`);
  const right = await read(lanes, path);
  const before = await served(lanes);
  await (wrong === null ? remove(lanes, path) : write(lanes, path, wrong));

  const outcome = await publish(lanes, generation, store).then(() => 'published', code);
  assert.equal(outcome, expected);

  assert.deepEqual(await served(lanes), before, 'no published name was changed');
  await write(lanes, path, right);
  assert.equal((await publish(lanes, generation)).row.served, generation);
}

test('H of another deployment stops a publication before its first name', () =>
  refusedWhile('SITE_TAKEN', HEAD, head({ deployment: OTHER }).bytes));

test('so does H of this database after it was restored once more', async () => {
  const deployment = { ...(await deploymentOf(lanes)), epoch: 1 };
  await refusedWhile('SITE_TAKEN', HEAD, head({ deployment }).bytes);
});

test('so does an unknown release, of a database that was restored', async () => {
  const generation = await verified(lanes, '4.0');
  const before = await served(lanes);
  await write(lanes, HEAD, head({ deployment: await deploymentOf(lanes) }).bytes);
  assert.equal(await publish(lanes, generation).then(() => 'published', code), 'SITE_AHEAD');
  assert.deepEqual(await served(lanes), before, 'no published name was changed');
  assert.equal((await lanes.replicate(generation)).row.served, generation);
  await publish(lanes, await verified(lanes, '4.1'));
});

test('so does a release that was published before, of an older copy of the site', async () => {
  const deployment = await deploymentOf(lanes);
  const { previous } = await headAt(lanes);
  await refusedWhile('SITE_BEHIND', HEAD, head({ deployment, release: previous! }).bytes);
});

test('so does an H that is gone', () => refusedWhile('SITE_BEHIND', HEAD, null));

test('so does an H that is none', () =>
  refusedWhile('ANCHOR_UNREADABLE', HEAD, Buffer.from('{"format":7}')));

test('a rotten R is written anew by the publication that names it', async () => {
  const generation = await verified(lanes, '5.0');
  const { store } = lanes.site();
  const isRelease = (path: string): boolean => path.startsWith('.debgeo/releases/');
  let place: string | undefined;
  const rotting: SiteStore = {
    ...meddling(
      store,
      () => false,
      async () => undefined,
    ),
    put: async (path, ...args) => {
      if (isRelease(path) && place === undefined) await write(lanes, (place = path), OTHER_BYTES);
      return store.put(path, ...args);
    },
  };

  await publish(lanes, generation, rotting);

  assert.equal(releasePath(AT, sha256Of(await read(lanes, place!))), place);
});
const OTHER_BYTES = Buffer.from('rotten');

test('a site of a version without anchors is claimed by the first chain', async () => {
  const { read: tx } = lanes.database;
  await run(tx, sql`update replication_sites set anchor_etag = null`);
  for (const table of ['site_heads', 'site_releases'])
    await run(tx, sql`delete from ${sql.table(table)}`);
  for (const path of [SITE_PATH, HEAD]) await remove(lanes, path);

  await publish(lanes, await verified(lanes, '6.0'));

  assert.deepEqual(
    decodeSite(await read(lanes, SITE_PATH), SITE_PATH).deployment,
    await deploymentOf(lanes),
  );
  assert.equal((await headAt(lanes)).previous, null);
});

test('its test notices an H that is written whatever is there', async () => {
  const { store } = lanes.site();
  const careless: SiteStore = {
    ...meddling(
      store,
      () => false,
      async () => undefined,
    ),
    put: async (path, content, expected, signal) => {
      if (path !== HEAD) return store.put(path, content, expected, signal);
      const found = await store.checksum(path, signal);
      const etag = found === null || found === 'changed' ? null : found.etag;
      return store.put(path, content, etag === null ? 'nothing' : { etag }, signal);
    },
  };
  const unknown = head({ deployment: await deploymentOf(lanes) }).bytes;

  await assert.rejects(refusedWhile('SITE_AHEAD', HEAD, unknown, careless), {
    code: 'ERR_ASSERTION',
    actual: 'published',
  });
});

/** Another deployment comes to the site of `lanes`. */
async function refusedBeside(
  t: TestContext,
  planted: (other: Lanes) => Activities = (other) => other.activities(),
): Promise<void> {
  const other = await startLanes(t, { suites: ['trixie'], container: lanes.site().container });
  const before = await served(lanes);
  const generation = await other.capture([stable]);

  const outcome = await other
    .replicate(generation, 'fra', planted(other))
    .then(() => 'served', code);

  assert.equal(outcome, 'SITE_TAKEN');
  assert.deepEqual(await served(lanes), before);
}

test('a site of another deployment is refused, and left as it is', (t) => refusedBeside(t));

test('its test notices a lane that claims the site where no other looks', async (t) => {
  const careless = (other: Lanes): Activities =>
    other.activities(stores(misplacingSite(other.site().store)));

  await assert.rejects(refusedBeside(t, careless), { code: 'ERR_ASSERTION', actual: 'served' });
});

test('a release without S, which this database did not write, is refused', async (t) => {
  const other = await startLanes(t, { container: lanes.site().container });
  const site = await read(lanes, SITE_PATH);
  await remove(lanes, SITE_PATH);
  const generation = await other.capture([stable]);

  assert.equal(await other.replicate(generation).then(() => 'served', code), 'SITE_TAKEN');

  assert.equal(await exists(lanes, SITE_PATH), false);
  await write(lanes, SITE_PATH, site);
});

test('of two deployments that claim an empty site at once, one has it', async (t) => {
  const one = await startLanes(t, { suites: ['one'] });
  const two = await startLanes(t, { suites: ['two'], container: one.site().container });
  const S = encodeSite({ deployment: await deploymentOf(two), heads: [] });
  const late = meddling(
    one.site().store,
    (call, path) => call === 'put' && path === SITE_PATH,
    () => write(one, SITE_PATH, S.bytes),
  );
  const [first, second] = [await one.capture([stable]), await two.capture([stable])];

  const lost = one.replicate(first, 'fra', one.activities(stores(late)));

  assert.equal(await lost.then(() => 'served', code), 'SITE_TAKEN');
  assert.equal((await two.replicate(second)).row.served, second);
});

const UNKNOWN = sha256Of(Buffer.from('unknown'));
const head = (of: Partial<Parameters<typeof encodeHead>[0]>): Encoded =>
  encodeHead({ deployment: OTHER, release: UNKNOWN, previous: null, pruned: 0, ...of });
