/**
 * A scrub at a real site: what it finds, what it leaves alone, what it repairs itself, and where it
 * goes on. `npm run soak:scrub` makes a thousand corruptions.
 */
import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';

import { CancelledFailure } from '@temporalio/activity';
import { sql } from 'kysely';

import { askScrub } from '../../../src/database/scrub/commands.ts';
import { all, run } from '../../../src/database/sql.ts';
import { readStatus } from '../../../src/database/views/status.ts';
import type { Checksum } from '../../../src/domain/checksum.ts';
import type { SiteScrub } from '../../../src/domain/replication.ts';
import type { SiteStore } from '../../../src/site/site-store.ts';
import { corrupt } from '../../support/corrupt.ts';
import { CORRUPTIONS, type Corruption } from '../../support/corruptions.ts';
import { aPackage, code, inActivity, startLanes, type Lanes } from '../lane/lanes.ts';
import { Killed, meddling, mortal } from '../stores.ts';

const FILES = Number(process.env['DEBGEO_SCRUB_CORRUPTIONS'] ?? '30');
const PER_KIND = FILES / CORRUPTIONS.length;
const poolOf = (name: string, version = '1.0') =>
  `pool/main/${name[0]}/${name}/${name}_${version}_amd64.deb`;

interface Pass {
  readonly row: SiteScrub;
  readonly rotten: readonly string[];
}

/** A whole pass over `fra` that begins now. */
async function pass(lanes: Lanes, activities = lanes.activities()): Promise<Pass> {
  await askScrub(lanes.database, 'fra');
  return goOn(activities);
}

/** What is left of a pass. */
async function goOn(activities: ReturnType<Lanes['activities']>): Promise<Pass> {
  const rotten = new Set<string>();
  for (;;) {
    const answer = await inActivity(() => activities.scrubSlice({ site: 'fra' }));
    answer.rotten.forEach((name) => rotten.add(name));
    if (answer.row.endedAt !== null) return { row: answer.row, rotten: [...rotten] };
  }
}

const found = async (lanes: Lanes): Promise<string[]> =>
  (
    await all(
      lanes.database.read,
      sql<{ path: string }>`
        select path
        from incidents
        where code = 'BLOB_CORRUPT'
          and resolved_at is null
        order by path`,
    )
  ).map(({ path }) => path);

const fra = async ({ database, suite }: Lanes) => {
  const [status] = await readStatus(database, suite);
  const incidents = status!.incidents.map((incident) => incident.code);
  return { status: status!.status, incidents, ...status!.sites[0]! };
};

const names = Array.from({ length: FILES }, (_, index) => `p${index}`);

/** One site that serves many packages, of which some become wrong in every way. */
async function corrupted(t: TestContext, kinds: readonly Corruption[] = CORRUPTIONS) {
  const lanes = await startLanes(t);
  const packages = [...names, 'good', 'fine'].map((name) => aPackage(name, '1.0'));
  const generation = await lanes.capture(packages);
  await lanes.replicate(generation);
  const { container, store } = lanes.site();
  const known = new Map<string, Checksum>();
  const paths: string[] = [];
  for (const [index, name] of names.entries()) {
    const kind = CORRUPTIONS[index % CORRUPTIONS.length]!;
    const path = `debian/${poolOf(name)}`;
    known.set(path, (await store.checksum(path as never, new AbortController().signal)) as never);
    if (!kinds.includes(kind)) continue;
    await corrupt(container, 'fra', path, kind);
    paths.push(poolOf(name));
  }
  return { lanes, generation, paths: paths.toSorted(), known };
}

async function assertRight(lanes: Lanes, generation: number): Promise<void> {
  const { container } = lanes.site();
  for (const { path, bytes } of lanes.released[generation]!.files) {
    const blob = container.getBlockBlobClient(`debian/${path}`);
    if (await blob.exists())
      assert.deepEqual(await blob.downloadToBuffer(), Buffer.from(bytes), path);
    else assert.doesNotMatch(path, /pool|InRelease/);
  }
}

test('every corruption is found by the scrub alone, and repaired; nothing else is', async (t) => {
  const { lanes, generation, paths } = await corrupted(t);
  const { members } = await fra(lanes);

  const { row, rotten } = await pass(lanes);

  assert.deepEqual(await found(lanes), paths);
  assert.deepEqual([row.wrong, row.repaired, rotten], [paths.length, 0, ['bookworm']]);
  const fallen = await fra(lanes);
  assert.deepEqual(
    [fallen.status, fallen.state, fallen.verified],
    ['pending', 'pending', members - paths.length],
  );

  await lanes.replicate(generation);

  const { status, state, verified } = await fra(lanes);
  assert.deepEqual([status, state, verified], ['success', 'synced', members]);
  await assertRight(lanes, generation);
  assert.deepEqual(await found(lanes), []);
  assert.equal((await pass(lanes)).row.wrong, 0);
  t.diagnostic(`${paths.length} corruptions: all found, all repaired, no false alarm`);
});

test('a swap would be missed by a scrub that trusts size and ETag', async (t) => {
  const { lanes, paths, known } = await corrupted(t, ['same-length swap']);
  const { store } = lanes.site();
  const trusting: SiteStore = {
    site: 'fra',
    put: (...args) => store.put(...args),
    open: (...args) => store.open(...args),
    remove: (...args) => store.remove(...args),
    checksum: async (path, ...args) => {
      const read = await store.checksum(path, ...args);
      const before = known.get(path);
      const isSame =
        read !== null &&
        read !== 'changed' &&
        before?.etag === read.etag &&
        before.size === read.size;
      return isSame ? before : read;
    },
  };

  const { row } = await pass(lanes, lanes.activities({ stores: new Map([['fra', trusting]]) }));

  assert.deepEqual([row.wrong, paths.length], [0, PER_KIND]);
  assert.equal((await pass(lanes)).row.wrong, PER_KIND);
});

test('an emptied container is seen: nothing of it is verified, and all comes back', async (t) => {
  const lanes = await startLanes(t);
  const generation = await lanes.capture([aPackage('hello', '1.0'), aPackage('other', '1.0')]);
  await lanes.replicate(generation);
  const { container } = lanes.site();
  const before: string[] = [];
  for await (const { name } of container.listBlobsFlat()) {
    before.push(name);
    await container.deleteBlob(name);
  }

  await assert.rejects(pass(lanes), (error) => code(error) === 'SITE_BEHIND');

  const { status, verified, incidents } = await fra(lanes);
  assert.deepEqual([status, verified, incidents], ['pending', 0, ['SITE_BEHIND']]);
  await lanes.replicate(generation);
  const after: string[] = [];
  for await (const { name } of container.listBlobsFlat()) after.push(name);
  // R says which one was before it: it is another one now
  const others = (names: string[]) => names.filter((name) => !name.includes('/releases/'));
  assert.deepEqual(others(after), others(before));
  assert.equal((await fra(lanes)).status, 'success');
  await lanes.endGrace();
  assert.equal((await pass(lanes)).row.wrong, 0);
});

test('what is not believed any more, and of no lane, is read back', async (t) => {
  const lanes = await startLanes(t);
  for (const version of ['1.0', '2.0'])
    await lanes.replicate(await lanes.capture([aPackage('hello', version)]));
  const { container } = lanes.site();
  await container.deleteBlob('.debgeo/heads/debian/bookworm.json');
  await inActivity(() => lanes.activities().confirmSite({ site: 'fra' }));
  await lanes.replicate(2);
  await lanes.endGrace();
  const unsettled = async () => {
    const { rows } = await sql<{ path: string }>`
      select p.path
      from blob_registry r
      join paths p on p.id = r.path_id
      where not r.settled
        and p.path like 'pool/%'`.execute(lanes.database.read.kysely);
    return rows.map(({ path }) => path);
  };
  assert.deepEqual(await unsettled(), [poolOf('hello').replace('2.0', '1.0')]);

  assert.equal((await pass(lanes)).row.wrong, 0);

  assert.deepEqual(await unsettled(), []);
});

test('a published name that rots is found, and its lane writes it anew', async (t) => {
  const lanes = await startLanes(t);
  const generation = await lanes.capture([aPackage('hello', '1.0')]);
  await lanes.replicate(generation);
  const inRelease = 'dists/bookworm/InRelease';
  await corrupt(lanes.site().container, 'fra', `debian/${inRelease}`, 'bit flip');

  await pass(lanes);

  assert.deepEqual(await found(lanes), [inRelease]);
  assert.equal((await fra(lanes)).status, 'pending');
  await lanes.replicate(generation);
  await assertRight(lanes, generation);
  assert.equal((await fra(lanes)).status, 'success');
});

/** A lane rewrites the very file between the moment it is read and the moment that is booked. */
async function rewritten(t: TestContext) {
  const lanes = await startLanes(t);
  const generation = await lanes.capture([aPackage('hello', '1.0')]);
  await lanes.replicate(generation);
  const { container, store } = lanes.site();
  const path = `debian/${poolOf('hello')}`;
  await corrupt(container, 'fra', path, 'bit flip');
  const late: SiteStore = {
    site: 'fra',
    put: (...args) => store.put(...args),
    open: (...args) => store.open(...args),
    remove: (...args) => store.remove(...args),
    checksum: async (one, ...args) => {
      const read = await store.checksum(one, ...args);
      if (one === path) {
        await run(
          lanes.database.read,
          sql`update distribution_replications set verify_requested_at = now()`,
        );
        await lanes.replicate(generation);
      }
      return read;
    },
  };
  return { lanes, late: lanes.activities({ stores: new Map([['fra', late]]) }) };
}

test('what a lane repaired since it was read is no false alarm', async (t) => {
  const { lanes, late } = await rewritten(t);

  const { row } = await pass(lanes, late);

  assert.equal(row.wrong, 0);
  assert.deepEqual(await found(lanes), []);
  assert.equal((await fra(lanes)).status, 'success');
});

test('it would be one without the condition on the ETag that was read', async (t) => {
  const { lanes, late } = await rewritten(t);
  // As if the row still had the ETag that was read: what a booking without the condition believes.
  await run(
    lanes.database.read,
    sql`
      create function keep_etag() returns trigger language plpgsql as $$
      begin
        new.etag := old.etag;
        return new;
      end $$`,
  );
  await run(
    lanes.database.read,
    sql`
      create trigger keep before update of etag on blob_registry
      for each row when (old.etag is not null) execute function keep_etag()`,
  );

  const { row } = await pass(lanes, late);

  assert.equal(row.wrong, 1);
});

/** `fra` serves 2.0, and 1.0 is in its grace. */
async function graced(t: TestContext, sites = ['fra']) {
  const lanes = await startLanes(t, { sites });
  for (const version of ['1.0', '2.0'])
    for (const site of sites)
      await lanes.replicate(
        version === '1.0' && site === sites[0]
          ? await lanes.capture([aPackage('hello', version)])
          : site === sites[0]
            ? await lanes.capture([aPackage('hello', version)])
            : lanes.released.length - 1,
        site,
      );
  return lanes;
}

test('a file that only a release in its grace names is repaired by the scrub', async (t) => {
  const lanes = await graced(t);
  const { container } = lanes.site();
  const path = `debian/${poolOf('hello', '1.0')}`;
  const bytes = await container.getBlockBlobClient(path).downloadToBuffer();
  await corrupt(container, 'fra', path, 'bit flip');

  const { row, rotten } = await pass(lanes);

  assert.deepEqual([row.wrong, row.repaired, rotten], [1, 1, []]);
  assert.deepEqual(await container.getBlockBlobClient(path).downloadToBuffer(), bytes);
  assert.deepEqual(await found(lanes), []);
  assert.equal((await fra(lanes)).status, 'success');
  assert.equal((await pass(lanes)).row.wrong, 0);
});

test('a file of a lane that an operator holds is repaired by the scrub', async (t) => {
  const lanes = await graced(t);
  const { container } = lanes.site();
  await run(lanes.database.read, sql`update distribution_replications set paused = true`);
  await corrupt(container, 'fra', `debian/${poolOf('hello', '2.0')}`, 'deletion');

  const { row } = await pass(lanes);

  assert.deepEqual([row.wrong, row.repaired], [1, 1]);
  assert.equal((await pass(lanes)).row.wrong, 0);
});

test('a pass killed at any request goes on at its cursor', async (t) => {
  const { lanes, paths } = await corrupted(t, ['deletion', 'bit flip']);
  await askScrub(lanes.database, 'fra');
  for (const at of [1, 2, 17, 40]) {
    const victim = mortal(
      { store: lanes.site().store, database: lanes.database },
      { at, when: at % 2 === 0 ? 'after' : 'before' },
    );
    const doomed = lanes.activities({
      stores: new Map([['fra', victim.store]]),
      database: victim.database,
    });
    await assert.rejects(
      inActivity(() => doomed.scrubSlice({ site: 'fra' })),
      Killed,
    );
  }

  const { row } = await goOn(lanes.activities());

  assert.equal(row.wrong, paths.length);
  assert.deepEqual(await found(lanes), paths);
});

for (const why of ['WORKER_SHUTDOWN', 'CANCELLED'])
  test(`a slice that is cut (${why}) leaves the cursor where it was booked`, async (t) => {
    const { lanes, paths } = await corrupted(t, ['deletion']);
    const stop = new AbortController();
    let reads = 0;
    const stopping = meddling(
      lanes.site().store,
      (call) => call === 'checksum' && (reads += 1) === 20,
      async () => stop.abort(new CancelledFailure(why)),
    );
    const stopped = lanes.activities({ stores: new Map([['fra', stopping]]) });
    await askScrub(lanes.database, 'fra');

    const cut = inActivity(() => stopped.scrubSlice({ site: 'fra' }), { signal: stop.signal });

    if (why === 'CANCELLED') await assert.rejects(cut, CancelledFailure);
    else assert.equal((await cut).row.endedAt, null);
    assert.equal((await goOn(lanes.activities())).row.wrong, paths.length);
    assert.deepEqual(await found(lanes), paths);
  });

test('a slice ends soon, and the next one reads on', async (t) => {
  const { lanes, paths } = await corrupted(t, ['deletion']);
  await askScrub(lanes.database, 'fra');
  let slices = 0;
  let reads = 0;
  const counted = meddling(
    lanes.site().store,
    (call, path) => call === 'checksum' && !path.startsWith('.debgeo/') && (reads += 1) < 0,
    async () => undefined,
  );
  const short = lanes.activities({ stores: new Map([['fra', counted]]), sliceMs: 0 });
  for (let row: SiteScrub | null = null; row === null || row.endedAt === null; slices += 1)
    ({ row } = await inActivity(() => short.scrubSlice({ site: 'fra' })));

  assert.ok(slices > 1, `${slices} slices`);
  const { row } = { row: await inActivity(() => short.loadScrub({ site: 'fra' })) };
  assert.deepEqual([row.files, row.wrong], [row.filesTotal, paths.length]);
  assert.equal(reads, row.filesTotal, 'nothing is read twice');
});

const openOf = (lanes: Lanes, code: string) =>
  all(
    lanes.database.read,
    sql<{ path: string | null; found: string }>`
      select path, found
      from incidents
      where code = ${code}
        and resolved_at is null`,
  );

test('what a front end serves instead is on record until readers get the file', async (t) => {
  const lanes = await startLanes(t);
  await lanes.replicate(await lanes.capture([aPackage('hello', '1.0'), aPackage('other', '1.0')]));
  const asked: string[] = [];
  const stale = createServer((request, response) => {
    asked.push(request.url!);
    response.end('old');
  });
  await new Promise<void>((resolve) => stale.listen(0, '127.0.0.1', resolve));
  t.after(() => stale.close());
  const { port } = stale.address() as AddressInfo;
  const publicUrl = `http://127.0.0.1:${port}`;

  const { row } = await pass(lanes, lanes.activities({ publicUrl }));

  const open = (await openOf(lanes, 'SITE_SERVES_OTHER')).map(({ path }) => `/debian/${path}`);
  assert.ok(open.length > 0);
  assert.deepEqual([row.wrong, asked.toSorted()], [0, open.toSorted()]);
  assert.equal((await fra(lanes)).status, 'success', 'the site itself is right');
  await run(
    lanes.database.read,
    sql`update distribution_replications set verify_requested_at = now()`,
  );
  await lanes.replicate(1);
  assert.equal((await openOf(lanes, 'SITE_SERVES_OTHER')).length, open.length, 'no lane ends it');

  await pass(lanes);
  assert.deepEqual(await openOf(lanes, 'SITE_SERVES_OTHER'), []);
});

test('a front end that is down stops no pass', async (t) => {
  const lanes = await startLanes(t);
  await lanes.replicate(await lanes.capture([aPackage('hello', '1.0')]));

  const { row } = await pass(lanes, lanes.activities({ publicUrl: 'http://127.0.0.1:1' }));

  assert.equal(row.files, row.filesTotal);
  assert.deepEqual(
    (await openOf(lanes, 'SITE_UNREACHABLE')).map(({ path }) => path),
    [null],
  );
});

test('a pass waits between its slices, and one that is asked for does not', async (t) => {
  const { lanes } = await corrupted(t, []);
  await run(
    lanes.database.read,
    sql`update scrubs set interval_ms = 30 * 86400000::bigint, next_at = now()`,
  );
  const short = lanes.activities({ sliceMs: 0 });

  const first = await inActivity(() => short.scrubSlice({ site: 'fra' }));
  const wait = first.row.nextAt! - Date.now();
  assert.ok(wait > 60_000, `${wait} ms`);

  await askScrub(lanes.database, 'fra');
  const asked = await inActivity(() => short.scrubSlice({ site: 'fra' }));
  assert.ok(asked.row.nextAt! <= Date.now() + 1_000);
});

test('what no origin has is lost on record, and tried again by the next pass', async (t) => {
  const lanes = await graced(t);
  const { container } = lanes.site();
  const path = poolOf('hello', '1.0');
  const file = join(lanes.folder, path);
  const bytes = await readFile(file);
  await rm(file);
  await corrupt(container, 'fra', `debian/${path}`, 'deletion');

  const lost = (await pass(lanes)).row;

  assert.deepEqual([lost.wrong, lost.repaired, await found(lanes)], [1, 0, [path]]);
  await writeFile(file, bytes);
  assert.equal((await pass(lanes)).row.repaired, 1);
  assert.deepEqual(await found(lanes), []);
});

test('a site that does not answer fails the slice, and nothing is booked', async (t) => {
  const lanes = await startLanes(t);
  await lanes.replicate(await lanes.capture([aPackage('hello', '1.0')]));
  await lanes.site().container.delete();
  await askScrub(lanes.database, 'fra');

  await assert.rejects(
    inActivity(() => lanes.activities().scrubSlice({ site: 'fra' })),
    (error) => code(error) === 'SITE_CONTAINER_MISSING',
  );

  assert.deepEqual(await found(lanes), []);
  const claims = await all(lanes.database.read, sql`select from claims`);
  assert.equal(claims.length, 0);
});
