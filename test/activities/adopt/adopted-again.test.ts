/** Killed anywhere and given again; of several suites and sites; of a database restored twice. */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import { sql } from 'kysely';

import { connectDatabase, type Database } from '../../../src/database/orm.ts';
import { all, run } from '../../../src/database/sql.ts';
import { decodeHead, decodeSite } from '../../../src/site-format/decode.ts';
import { headPath, SITE_PATH } from '../../../src/site-format/paths.ts';
import type { SiteStore } from '../../../src/site/site-store.ts';
import { replicationOf } from '../../support/replication-of.ts';
import { copyOfDatabase } from '../../support/servers.ts';
import { aPackage, code, inActivity, startLanes, type Lanes } from '../lane/lanes.ts';
import { Killed, meddling } from '../stores.ts';
import {
  adopt,
  afterLoss,
  look,
  readBlob,
  servedAt,
  walk,
  withDatabase,
  writeBlob,
} from './lost.ts';

const AT = { mount: 'debian', suite: 'bookworm' };
const HEAD = headPath(AT);
const STABLE = aPackage('stable', '1.0');

/** Dies right behind its k-th effect: a call of the site, or a COMMIT. */
function dying(
  real: { readonly store: SiteStore; readonly database: Database },
  at: number,
): { store: SiteStore; database: Database; count(): number } {
  let effects = 0;
  const assertAlive = () => {
    if (effects >= at) throw new Killed('killed');
  };
  const counted = async <T>(effect: () => Promise<T>): Promise<T> => {
    assertAlive();
    const answer = await effect();
    effects += 1;
    assertAlive();
    return answer;
  };
  const { store, database } = real;
  return {
    count: () => effects,
    store: {
      site: store.site,
      put: (...args) => counted(() => store.put(...args)),
      checksum: (...args) => counted(() => store.checksum(...args)),
      open: (...args) => counted(() => store.open(...args)),
      remove: (...args) => counted(() => store.remove(...args)),
    },
    database: {
      orm: database.orm,
      transaction: (work) => counted(() => database.transaction(work)),
      get read() {
        assertAlive();
        return database.read;
      },
      close: () => database.close(),
    },
  };
}

/** Everything is read back, no write is tried, and the site is whole. */
async function assertAdopted(lanes: Lanes, suite = 'bookworm', site = 'fra'): Promise<void> {
  const { target } = await replicationOf(lanes.database.read, { distribution: suite, site });
  const tried: string[] = [];
  const watched = meddling(
    lanes.site(site).store,
    (call, path) => {
      if (/put|remove/.test(call) && !path.startsWith('.debgeo/')) tried.push(`${call} ${path}`);
      return false;
    },
    async () => undefined,
  );
  const activities = lanes.activities({ stores: new Map([[site, watched]]) });
  const { row } = await lanes.replicate(target, site, activities, suite);
  assert.deepEqual(tried, []);
  assert.deepEqual([row.served, row.state, row.verifyRequestedAt], [target, 'synced', null]);
  assert.deepEqual((await walk(lanes, suite, site)).faults, []);
}

/** Two releases are served, the database is lost, and the site adopted. */
async function adoptedAs(
  t: TestContext,
  happens: (lanes: Lanes) => Promise<unknown>,
  planted: (lanes: Lanes) => Promise<unknown> = async () => undefined,
): Promise<Lanes> {
  const before = await startLanes(t);
  for (const version of ['1.0', '2.0'])
    await before.replicate(await before.capture([STABLE, aPackage('hello', version)]));
  const lanes = await afterLoss(t, before);
  await look(lanes);
  await happens(lanes);
  await adopt(lanes);
  await planted(lanes);
  return lanes;
}

const POOL = 'debian/pool/main/h/hello/hello_2.0_amd64.deb';
const rotten = async (lanes: Lanes): Promise<unknown> => {
  const bytes = await readBlob(lanes, POOL);
  bytes[50]! ^= 1;
  return writeBlob(lanes, POOL, bytes);
};

/** What rotted while no database was there is found, and repaired. */
async function repaired(
  t: TestContext,
  planted?: (lanes: Lanes) => Promise<unknown>,
): Promise<void> {
  const lanes = await adoptedAs(t, rotten, planted);
  assert.equal(await lanes.replicate(3).then(({ row }) => row.state, code), 'synced');
  assert.deepEqual((await walk(lanes)).faults, []);
}

test('what rotted meanwhile is found and repaired', (t) => repaired(t));

test('it would be seen if adopted files were believed', (t) =>
  assert.rejects(
    repaired(t, ({ database }) =>
      run(
        database.read,
        sql`
          update blob_registry
          set verification_state = 2, verified_at = now() + interval '1 hour'`,
      ),
    ),
    { code: 'ERR_ASSERTION', actual: 'BLOB_CORRUPT' },
  ));

test('it would be seen if adopted files were to be copied', async (t) => {
  const lanes = await adoptedAs(
    t,
    async () => undefined,
    ({ database }) => run(database.read, sql`update blob_registry set state = 0`),
  );
  await assert.rejects(assertAdopted(lanes), { code: 'ERR_ASSERTION', message: /put debian/ });
});

test('killed behind any call of the site and any COMMIT, it is given again', async (t) => {
  const before = await startLanes(t);
  for (const version of ['1.0', '2.0'])
    await before.replicate(await before.capture([STABLE, aPackage('hello', version)]));
  const fresh = await afterLoss(t, before);
  await look(fresh);
  const anchors = new Map<string, Buffer>();
  for (const path of [SITE_PATH, HEAD]) anchors.set(path, await readBlob(fresh, path));
  const served = await servedAt(fresh);
  let effects = Infinity;
  for (let at = 1; at <= effects; at += 1) {
    for (const [path, bytes] of anchors) await writeBlob(fresh, path, bytes);
    const database = await connectDatabase(await copyOfDatabase(fresh.databaseUrl));
    t.after(() => database.close());
    const lanes = withDatabase(fresh, database);
    const { store } = lanes.site();
    const victim = dying({ store, database }, at);
    const outcome = await adopt(
      lanes,
      {},
      { database: victim.database, stores: new Map([['fra', victim.store]]) },
    ).then(
      () => 'adopted',
      (error: unknown) => error,
    );
    if (outcome === 'adopted') effects = at;
    else assert.ok(outcome instanceof Killed, `effect ${at}: ${String(outcome)}`);
    await between(lanes, `effect ${at}`);

    const { suites } = await adopt(lanes);

    const { releases, served: generation, newest } = suites[0]!.adopted!;
    assert.deepEqual(
      [releases.map((one) => one.generation), generation, newest],
      [[2, 3], 3, 3],
      `effect ${at}`,
    );
    await assertAdopted(lanes);
    const ours = (await readDeployment(lanes)).id;
    for (const [path, decode] of [
      [SITE_PATH, decodeSite],
      [HEAD, decodeHead],
    ] as const)
      assert.equal(decode(await readBlob(lanes, path), path).deployment.id, ours, path);
  }
  assert.ok(effects > 10, `${effects} effects`);
  assert.deepEqual(await servedAt(fresh), served);
});

/** A lane and a prune that run before it is given again. */
async function between(lanes: Lanes, what: string): Promise<void> {
  const { target } = await replicationOf(lanes.database.read, {
    distribution: 'bookworm',
    site: 'fra',
  });
  const outcome = await lanes.replicate(target).then(() => 'served', code);
  const { planPrune } = lanes.activities();
  const pruned = await inActivity(() => planPrune({ site: 'fra' })).then(() => 'planned', code);
  // an adopted site is spared: clients may read releases that its rows did not know
  for (const one of [outcome, pruned])
    assert.match(
      one,
      /^(?:SITE_TAKEN|SITE_BEHIND|served|planned)$/,
      `${what}: ${outcome}, ${pruned}`,
    );
}

const readDeployment = async ({ database }: Lanes) =>
  (
    await all(database.read, sql<{ id: string; epoch: number }>`select id, epoch from deployment`)
  )[0]!;

test('two sites, one of which is behind, are adopted one after the other', async (t) => {
  const before = await startLanes(t, { sites: ['fra', 'sin'] });
  for (const [version, sites] of [
    ['1.0', ['fra', 'sin']],
    ['2.0', ['fra', 'sin']],
    ['3.0', ['fra']],
  ] as const) {
    const generation = await before.capture([STABLE, aPackage('hello', version)]);
    for (const site of sites) await before.replicate(generation, site);
  }
  const lanes = await afterLoss(t, before);
  await look(lanes);

  const fra = await adopt(lanes, { site: 'fra' });
  const sin = await adopt(lanes, { site: 'sin' });

  const generationsOf = ({ suites }: typeof fra) =>
    suites[0]!.adopted!.releases.map((one) => one.generation);
  assert.deepEqual(
    [generationsOf(fra), generationsOf(sin)],
    [
      [2, 3, 4],
      [2, 3],
    ],
  );
  await assertAdopted(lanes, 'bookworm', 'fra');
  const row = await replicationOf(lanes.database.read, { distribution: 'bookworm', site: 'sin' });
  assert.deepEqual([row.served, row.target], [3, 4]);
  assert.equal((await lanes.replicate(4, 'sin')).row.served, 4, 'it goes forward');
  assert.deepEqual((await walk(lanes, 'bookworm', 'sin')).faults, []);
});

test('of two suites that share a pool, one that is refused holds up no other', async (t) => {
  const before = await startLanes(t, { suites: ['bookworm', 'trixie', 'sid'] });
  for (const suite of ['bookworm', 'trixie', 'sid'])
    for (const version of ['1.0', '2.0']) {
      const packages = [STABLE, aPackage(`of-${suite}`, version)];
      await before.replicate(await before.capture(packages, suite), 'fra', undefined, suite);
    }
  const lanes = await afterLoss(t, before, { suites: ['bookworm', 'trixie'] });
  for (const suite of ['bookworm', 'trixie']) await look(lanes, suite);
  const trixie = headPath({ mount: 'debian', suite: 'trixie' });
  const right = await readBlob(lanes, trixie);
  await writeBlob(lanes, trixie, Buffer.from('{}'));

  const adopted = await adopt(lanes);

  const codes = adopted.suites.map(({ refusal }) => refusal?.code ?? null);
  assert.deepEqual(codes, [null, 'ANCHOR_UNREADABLE']);
  assert.deepEqual(adopted.unknown, [{ mount: 'debian', suite: 'sid' }]);
  await assertAdopted(lanes);
  await writeBlob(lanes, trixie, right);
  const refused = lanes.replicate(1, 'fra', undefined, 'trixie').then(() => 'served', code);
  assert.equal(await refused, 'SITE_TAKEN', 'its names stay as they are');
  await adopt(lanes);
  await assertAdopted(lanes, 'trixie');
  await lanes.replicate(await lanes.capture([STABLE]), 'fra');
  for (const suite of ['bookworm', 'trixie', 'sid'])
    assert.deepEqual((await walk(lanes, suite)).faults, [], suite);
});

test('what prune must keep for clients of the releases before is kept', async (t) => {
  const before = await startLanes(t);
  for (const version of ['1.0', '2.0', '3.0'])
    await before.replicate(await before.capture([STABLE, aPackage('hello', version)]));
  const lanes = await afterLoss(t, before);
  await look(lanes);
  await adopt(lanes);
  await assertAdopted(lanes);
  const { planPrune, pruneBlobs } = lanes.activities();
  const prune = async () => {
    await inActivity(() => planPrune({ site: 'fra' }));
    while ((await inActivity(() => pruneBlobs({ site: 'fra' }))).more);
  };
  const served = await servedAt(lanes);

  await assert.rejects(prune(), (error) => code(error) === 'SITE_BEHIND');
  await lanes.endGrace();
  await prune();

  assert.deepEqual(await servedAt(lanes), served, 'their grace begins now');
  await run(lanes.database.read, sql`update replication_sites set grace_ms = 0`);
  await prune();
  const left = await servedAt(lanes);
  const pools = [...left.keys()].filter((path) => path.includes('/hello_'));
  assert.deepEqual(
    pools.map((path) => path.split('hello_')[1]),
    ['2.0_amd64.deb', '3.0_amd64.deb'],
    'keep: the newest two',
  );
  assert.deepEqual((await walk(lanes)).faults, []);
});

test('a publication that was open when the database was lost goes forward', async (t) => {
  const before = await startLanes(t);
  await before.replicate(await before.capture([STABLE, aPackage('hello', '1.0')]));
  const second = await before.capture([STABLE, aPackage('hello', '2.0')]);
  const { store } = before.site();
  const refusing: SiteStore = {
    site: store.site,
    checksum: (...args) => store.checksum(...args),
    open: (...args) => store.open(...args),
    remove: (...args) => store.remove(...args),
    put: (path, ...args) => {
      if (path.endsWith('/InRelease')) throw new Killed('killed');
      return store.put(path, ...args);
    },
  };
  const doomed = before.activities({ stores: new Map([['fra', refusing]]) });
  await assert.rejects(before.replicate(second, 'fra', doomed), Killed);
  const lanes = await afterLoss(t, before);
  await lanes.capture([STABLE, aPackage('hello', '3.0')]);

  const { suites } = await adopt(lanes);

  const { releases, served, newest } = suites[0]!.adopted!;
  assert.deepEqual([releases.length, served, newest], [2, 2, 4]);
  assert.equal((await lanes.replicate(newest)).row.served, newest);
  assert.deepEqual((await walk(lanes)).faults, []);
});

test('a database that was restored twice goes behind what the first one did', async (t) => {
  const before = await startLanes(t);
  await before.replicate(await before.capture([STABLE, aPackage('hello', '1.0')]));
  const restored = await before.backUp(t);
  await run(before.database.read, sql`update deployment set epoch = 3`);
  await run(before.database.read, sql`update replication_sites set anchor_etag = null`);
  await before.replicate(await before.capture([STABLE, aPackage('hello', '2.0')]));
  await look(restored);
  const take = (takeOver: boolean) =>
    adopt(restored, { takeOver }).then(({ suites }) => suites[0]!.refusal?.code ?? 'adopted', code);

  assert.equal(await take(false), 'SITE_TAKEN');
  assert.equal(await take(true), 'adopted');

  assert.equal((await readDeployment(restored)).epoch, 4);
  await assertAdopted(restored);
  const behind = await before.capture([STABLE, aPackage('hello', '3.0')]);
  const refused = await before.replicate(behind).then(() => 'served', code);
  assert.equal(refused, 'SITE_TAKEN', 'the other one notices');
});
