/** Every rule of one table over one fixture, in one place: hence its length. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { sql } from 'kysely';

import { connectDatabase, type Database } from '../../../src/database/orm.ts';
import { assertSettled, barrier, openBlobs } from '../../../src/database/registry/barrier.ts';
import { blobsToChecksum, recordChecksums } from '../../../src/database/registry/checksums.ts';
import { claimBlobs, failBlobs, finishBlobs } from '../../../src/database/registry/claims.ts';
import { planBlobs } from '../../../src/database/registry/plan-blobs.ts';
import { endStep } from '../../../src/database/registry/progress.ts';
import { verifiedSitesOf } from '../../../src/database/registry/verified-sites.ts';
import { readReplication } from '../../../src/database/replication-row.ts';
import { all, one, run } from '../../../src/database/sql.ts';
import { refusesWith } from '../../support/refuses-with.ts';
import {
  beginToPublish,
  aDatabase,
  capture,
  claim,
  digestOf,
  files,
  plan,
  read,
  settle,
  SIZE,
  start,
} from '../lanes-fixture.ts';

test('what the version before had claimed, by the time of an attempt, is free', async (t) => {
  const db = await aDatabase(t);
  const generation = await capture(db, 'stable', files(3));
  await plan(db, 'stable', generation);
  await run(db.read, sql`update blob_registry set state = 1, attempt = ${Date.now()}`);

  const next = await start(db, 'stable', generation);

  assert.equal((await claim(db, next)).length, 3);
});

test('claims are bounded by files and by bytes, and at least one', async (t) => {
  const db = await aDatabase(t);
  const lane = await plan(db, 'stable', await capture(db, 'stable', files(10)));

  assert.equal((await claim(db, lane, 3)).length, 3);
  assert.equal((await claim(db, lane, 100, SIZE * 2)).length, 2);
  assert.equal((await claim(db, lane, 100, 1)).length, 1);
  assert.equal((await claim(db, lane)).length, 4);
  assert.equal((await claim(db, lane)).length, 0);
});

test('two lanes that share a pool never claim the same file; one waits', async (t) => {
  const db = await aDatabase(t);
  const stable = await plan(db, 'stable', await capture(db, 'stable', files(20)));
  const testing = await plan(db, 'testing', await capture(db, 'testing', files(20)));

  const [ours, theirs] = await Promise.all([claim(db, stable), claim(db, testing)]);

  assert.equal(
    new Set([...ours, ...theirs].map((blob) => blob.pathId)).size,
    ours.length + theirs.length,
  );
  const more = await claim(db, testing);
  assert.equal(ours.length + theirs.length + more.length, 20);
  const open = await openBlobs(db.read, testing);
  assert.deepEqual(
    open,
    { claimable: 0, elsewhere: 20, failed: null },
    'all are claimed by the first lane',
  );
});

test('an attempt of another lane keeps its claims while it is at work', async (t) => {
  const db = await aDatabase(t);
  const generation = await capture(db, 'stable', files(2));
  const dying = await plan(db, 'stable', generation);
  await claim(db, dying);
  const testing = await plan(db, 'testing', await capture(db, 'testing', files(2)));
  assert.equal((await claim(db, testing)).length, 0);

  await start(db, 'stable', generation);

  assert.equal((await claim(db, testing)).length, 2);
});

test('an attempt takes over the claims of the one before, whose late result is void', async (t) => {
  const db = await aDatabase(t);
  const generation = await capture(db, 'stable', files(1));
  const dead = await plan(db, 'stable', generation);
  const [blob] = await claim(db, dead);
  const lane = await start(db, 'stable', generation);
  assert.equal((await claim(db, lane)).length, 1);

  await assert.rejects(finishBlobs(db, dead, [read(blob!)]), refusesWith('FENCED'));
  await assert.rejects(
    failBlobs(db, dead, [{ pathId: blob!.pathId, report: { code: 'BLOB_MISSING', message: '' } }]),
    refusesWith('FENCED'),
  );
  await assert.rejects(claim(db, dead), refusesWith('FENCED'));
  await assert.rejects(endStep(db, dead), refusesWith('FENCED'));

  assert.deepEqual(await barrier(db.read, lane), { members: 1, unsettled: 1, unplanned: 0 });
  await finishBlobs(db, lane, [read(blob!)]);
  const row = await readReplication(db.read, lane);
  assert.deepEqual(
    [row.filesDone, row.filesTotal, row.bytesDone, row.bytesTotal],
    [1, 1, SIZE, SIZE],
  );
  assert.equal((await barrier(db.read, lane)).unsettled, 0);
});

test('only what was claimed is finished: what an ended slice had claimed stays open', async (t) => {
  const db = await aDatabase(t);
  const generation = await capture(db, 'stable', files(2));
  const lane = await plan(db, 'stable', generation);
  const [one, other] = await claim(db, lane);
  await finishBlobs(db, lane, [read(one!)]);
  const row = await endStep(db, lane);

  await assert.rejects(finishBlobs(db, lane, [read(other!)]), refusesWith('FENCED'));

  assert.deepEqual([row.filesDone, row.bytesDone], [1, SIZE]);
  assert.deepEqual((await readReplication(db.read, lane)).filesDone, 1);
  assert.equal((await barrier(db.read, lane)).unsettled, 1);
  const next = await start(db, 'stable', generation);
  assert.deepEqual(
    (await claim(db, next)).map(({ pathId }) => pathId),
    [other!.pathId],
  );
});

test('booking waits for nothing that holds the row of the lane', async (t) => {
  const db = await aDatabase(t);
  const lane = await plan(db, 'stable', await capture(db, 'stable', files(2)));
  const [one, other] = await claim(db, lane);
  const session = await connectDatabase(db.orm.config.get('clientUrl')!);
  t.after(() => session.close());

  await session.read.kysely.transaction().execute(async (tx) => {
    await sql`select from distribution_replications for update`.execute(tx);
    const booked = finishBlobs(db, lane, [read(one!)]);
    const late = new Promise((resolve) => setTimeout(resolve, 5_000, 'it waits').unref());
    assert.deepEqual(await Promise.race([booked, late]), { files: 1, bytes: SIZE });
  });

  assert.equal((await readReplication(db.read, lane)).filesDone, 1);
  const next = await start(db, 'stable', lane.generation);
  assert.equal((await readReplication(db.read, lane)).filesDone, 1, 'counted once');
  await assert.rejects(finishBlobs(db, lane, [read(other!)]), refusesWith('FENCED'));
  assert.equal((await claim(db, next)).length, 1);
});

test('wrong bytes are open for repair under their ETag, and fail in the end', async (t) => {
  const db = await aDatabase(t);
  const lane = await plan(db, 'stable', await capture(db, 'stable', files(1)));
  for (const etag of ['"1"', '"2"', '"3"']) {
    const [blob] = await claim(db, lane);
    assert.equal(blob!.badEtag, etag === '"1"' ? null : `"${Number(etag[1]) - 1}"`);
    await finishBlobs(db, lane, [read(blob!, digestOf('rot'), etag)]);
  }

  const open = await openBlobs(db.read, lane);

  assert.equal(open.failed?.code, 'SITE_SERVES_OTHER');
  assert.equal(open.claimable, 0);
});

test('a failed blob is named, and a new plan tries it again', async (t) => {
  const db = await aDatabase(t);
  const generation = await capture(db, 'stable', files(2));
  const lane = await plan(db, 'stable', generation);
  const blobs = await claim(db, lane);
  await failBlobs(db, lane, [
    { pathId: blobs[0]!.pathId, report: { code: 'BLOB_MISSING', message: '' } },
  ]);
  await finishBlobs(db, lane, [read(blobs[1]!)]);
  assert.deepEqual(await openBlobs(db.read, lane), {
    claimable: 0,
    elsewhere: 0,
    failed: { count: 1, code: 'BLOB_MISSING', path: blobs[0]!.path },
  });

  const next = await plan(db, 'stable', generation);

  assert.equal((await claim(db, next)).length, 1);
});

test('0 of 0 is never verified, and neither is part of a generation', async (t) => {
  const db = await aDatabase(t);
  const generation = await capture(db, 'stable', files(2));
  const lane = await plan(db, 'stable', generation);
  const [blob] = await claim(db, lane, 1);
  await finishBlobs(db, lane, [read(blob!)]);
  await assert.rejects(beginToPublish(db, lane), refusesWith('NOT_VERIFIED'));

  await run(db.read, sql`delete from snapshot_blobs`);

  assert.deepEqual(await barrier(db.read, lane), { members: 0, unsettled: 0, unplanned: 0 });
  assert.throws(
    () => assertSettled({ members: 0, unsettled: 0, unplanned: 0 }, generation),
    refusesWith('SNAPSHOT_EMPTY'),
  );
  await assert.rejects(beginToPublish(db, lane), refusesWith('SNAPSHOT_EMPTY'));
  await assert.rejects(
    db.transaction((tx) => planBlobs(tx, lane)),
    refusesWith('SNAPSHOT_EMPTY'),
  );
});

test('other bytes at a verified path are a conflict, and the plan changes nothing', async (t) => {
  const db = await aDatabase(t);
  await settle(db, 'stable', await capture(db, 'stable', { 'pool/a.deb': 'one' }));
  const lane = await start(
    db,
    'testing',
    await capture(db, 'testing', { 'pool/a.deb': 'other', 'pool/b.deb': 'b' }),
  );

  await assert.rejects(
    db.transaction((tx) => planBlobs(tx, lane)),
    refusesWith('PATH_CONFLICT'),
  );

  const rows = await all(db.read, sql<{ count: number }>`select count(*) from blob_registry`);
  assert.equal(rows[0]!.count, 1);
});

test('other bytes at a path that another distribution waits for are a conflict, too', async (t) => {
  const db = await aDatabase(t);
  await plan(db, 'stable', await capture(db, 'stable', { 'pool/a.deb': 'one' }));
  const lane = await start(db, 'testing', await capture(db, 'testing', { 'pool/a.deb': 'other' }));

  await assert.rejects(
    db.transaction((tx) => planBlobs(tx, lane)),
    refusesWith('PATH_CONFLICT'),
  );
});

test('what is verified while a plan judges is not overwritten by it', async (t) => {
  const db = await aDatabase(t);
  await plan(db, 'stable', await capture(db, 'stable', { 'pool/a.deb': 'one' }));
  await run(db.read, sql`update distribution_replications set pinned_generation = null`);
  await capture(db, 'stable', { 'pool/b.deb': 'nothing wants a.deb here' });
  const lane = await start(db, 'testing', await capture(db, 'testing', { 'pool/a.deb': 'two' }));
  const other = await connectDatabase(db.orm.config.get('clientUrl')!);
  t.after(() => other.close());
  const waits = sql`select from pg_stat_activity where wait_event_type = 'Lock'`;

  // The lane of another generation that names it has copied it, and books it at this moment.
  const planning = await other.read.kysely.transaction().execute(async (booking) => {
    await sql`
      update blob_registry
      set state = 2, verification_state = 2, verified_at = now(), etag = '"1"'
      where path_id = (select id from paths where path = 'pool/a.deb')`.execute(booking);
    const planned = db.transaction((tx) => planBlobs(tx, lane));
    planned.catch(() => undefined);
    while ((await all(other.read, waits)).length === 0) await new Promise(setImmediate);
    return { planned };
  });

  await assert.rejects(planning.planned, refusesWith('PATH_CONFLICT'));
  const rows = await all(
    db.read,
    sql<{ digest: string }>`
      select encode(b.sha256, 'hex') as digest
      from blob_registry r
      join blobs b on b.id = r.blob_id
      join paths p on p.id = r.path_id
      where p.path = 'pool/a.deb'
        and r.settled`,
  );
  assert.deepEqual(rows, [{ digest: digestOf('one') }]);
});

test('an archive may correct a file that no site ever had right', async (t) => {
  const db = await aDatabase(t);
  const first = await capture(db, 'stable', { 'pool/a.deb': 'never there' });
  const lane = await plan(db, 'stable', first);
  const [blob] = await claim(db, lane);
  await failBlobs(db, lane, [
    { pathId: blob!.pathId, report: { code: 'BLOB_MISMATCH', message: '' } },
  ]);
  const second = await capture(db, 'stable', { 'pool/a.deb': 'corrected' });
  await run(db.read, sql`update distribution_replications set pinned_generation = null`);

  const next = await settle(db, 'stable', second);

  assert.equal((await barrier(db.read, next)).unsettled, 0);
});

test('checksum reads what is due, or all on command; bad blobs go back to sync', async (t) => {
  const db = await aDatabase(t);
  const lane = await settle(db, 'stable', await capture(db, 'stable', files(3)));
  assert.equal((await blobsToChecksum(db.read, lane, null, 0, 10)).length, 0);
  const asked = await blobsToChecksum(db.read, lane, Date.now() + 1_000, 0, 10);
  assert.equal(asked.length, 3);

  const found = [
    { ...read(asked[0]!), etag: asked[0]!.etag },
    { ...read(asked[1]!, digestOf('rot')), etag: asked[1]!.etag },
    { pathId: asked[2]!.pathId, blobId: asked[2]!.blobId, etag: asked[2]!.etag, checksum: null },
  ];
  const { bad } = await recordChecksums(db, lane, found);
  const row = await readReplication(db.read, lane);

  assert.deepEqual(
    bad.map((blob) => blob.path).toSorted(),
    [asked[1]!.path, asked[2]!.path].toSorted(),
  );
  assert.deepEqual([row.filesDone, row.filesTotal], [1, 3]);
  const repair = await claim(db, lane);
  assert.deepEqual(
    repair.map((blob) => blob.badEtag),
    ['"1"', null],
  );
  const rows = await all(
    db.read,
    sql<{ code: string; path: string }>`select code, path from incidents order by path`,
  );
  assert.deepEqual(
    rows.map((one) => one.code),
    ['BLOB_CORRUPT', 'BLOB_CORRUPT'],
  );
});

test('a checksum of what was repaired meanwhile is dropped', async (t) => {
  const db = await aDatabase(t);
  const lane = await settle(db, 'stable', await capture(db, 'stable', files(1)));
  const [blob] = await blobsToChecksum(db.read, lane, Date.now() + 1_000, 0, 10);
  await run(db.read, sql`update blob_registry set etag = '"repaired"'`);

  const { bad } = await recordChecksums(db, lane, [
    { ...read(blob!, digestOf('rot')), etag: blob!.etag },
  ]);

  assert.deepEqual(bad, []);
  assert.equal((await barrier(db.read, lane)).unsettled, 0);
});

test('other sites where a blob is verified are listed, the primary first', async (t) => {
  const db = await aDatabase(t);
  const generation = await capture(db, 'stable', files(1));
  await settle(db, 'stable', generation, 'sin');
  const lane = await plan(db, 'stable', generation, 'fra');
  const [blob] = await claim(db, lane);
  assert.deepEqual(await verifiedSitesOf(db.read, blob!), ['sin']);

  await finishBlobs(db, lane, [read(blob!)]);

  assert.deepEqual(await verifiedSitesOf(db.read, blob!), ['sin']);
  assert.deepEqual(await verifiedSitesOf(db.read, { ...blob!, siteId: -1 }), ['sin', 'fra']);
});

async function analyzeAll({ read }: Database): Promise<void> {
  for (const table of ['paths', 'blobs', 'snapshot_blobs', 'blob_registry'])
    await run(read, sql`analyze ${sql.table(table)}`);
}

const STALE = {
  'from before the first copy': async (db: Database, generation: number) => {
    const lane = await plan(db, 'stable', generation);
    await analyzeAll(db);
    return lane;
  },
  'that know only another site': async (db: Database, generation: number) => {
    await plan(db, 'stable', generation, 'sin');
    await analyzeAll(db);
    return plan(db, 'stable', generation);
  },
};

for (const [which, prepare] of Object.entries(STALE)) {
  test(`a set reads the rows of its blobs, by statistics ${which} too`, async (t) => {
    const [db, count, set] = [await aDatabase(t, { poolMax: 1 }), 4_000, 50];
    const lane = await prepare(db, await capture(db, 'stable', files(count)));
    const before = await rowsRead(db);

    for (let behind = 0; ;) {
      const blobs = await claimBlobs(db, lane, set, 1e9, behind);
      if (blobs.length === 0) break;
      const settled = await finishBlobs(
        db,
        lane,
        blobs.map((blob) => read(blob)),
      );
      behind = blobs.at(-1)!.pathId;
      assert.equal(settled.files % set, 0);
    }
    const copied = await rowsRead(db);
    const asked = Date.now() + 60_000;
    for (let behind = 0; ;) {
      const blobs = await blobsToChecksum(db.read, lane, asked, behind, set);
      if (blobs.length === 0) break;
      await recordChecksums(
        db,
        lane,
        blobs.map((blob) => ({ ...read(blob), etag: blob.etag })),
      );
      behind = blobs.at(-1)!.pathId;
    }
    const verified = await rowsRead(db);

    assert.deepEqual(await barrier(db.read, lane), { members: count, unsettled: 0, unplanned: 0 });
    t.diagnostic(
      `rows read per blob: copied ${(copied - before) / count}, ` +
        `verified ${(verified - copied) / count}`,
    );
    assert.ok(copied - before < 20 * count, `${copied - before} rows were read to copy ${count}`);
    assert.ok(
      verified - copied < 20 * count,
      `${verified - copied} rows were read to verify ${count}`,
    );
  });
}

/** Of all tables, by this connection. */
async function rowsRead({ read }: Database): Promise<number> {
  await run(read, sql`select pg_stat_force_next_flush()`);
  const counted = await one(
    read,
    sql<{ rows: number }>`
      select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint as rows
      from pg_stat_user_tables`,
  );
  return counted!.rows;
}
