/** What a site may lose, and what must never be lost beside captures, plans and publications. */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import { sql } from 'kysely';

import { lockArchiveShared } from '../../../src/database/locks.ts';
import { type Database } from '../../../src/database/orm.ts';
import { keptGenerations } from '../../../src/database/prune/kept-generations.ts';
import { markRows, markUnneeded } from '../../../src/database/prune/mark-unneeded.ts';
import { bookFound, bookGone, claimMarked } from '../../../src/database/prune/marked-blobs.ts';
import {
  loadPrune,
  recordPruneFailure,
  startDeleting,
} from '../../../src/database/prune/prunes.ts';
import { previewPrune } from '../../../src/database/prune/unneeded-blobs.ts';
import { barrier } from '../../../src/database/registry/barrier.ts';
import { planBlobs } from '../../../src/database/registry/plan-blobs.ts';
import { all, one, run } from '../../../src/database/sql.ts';
import { LIMITS } from '../../../src/domain/limits.ts';
import { refusesWith } from '../../support/refuses-with.ts';
import { beginToPublish, capture, claim, plan, serve, settle, start } from '../lanes-fixture.ts';
import {
  deleting,
  FRA,
  keep,
  marked,
  pathsAt,
  prune,
  PRUNING,
  served,
  sparing,
} from './prune-fixture.ts';

test('a site loses what it stopped serving, and nothing that it serves', async (t) => {
  const { db, fra, sin } = await sparing(t);
  await served(db, 'stable', ['1', '2', '3']);

  assert.deepEqual(await prune(db, fra), ['pool/1.deb', 'pool/2.deb']);

  assert.deepEqual(await pathsAt(db, fra), ['pool/3.deb', 'pool/all.deb']);
  assert.deepEqual(await pathsAt(db, sin), []);
  assert.deepEqual(await prune(db, fra), [], 'a second run finds nothing');
  assert.equal((await loadPrune(db, FRA)).blobs, 0);
});

test('grace counts from when the site stopped serving; the newest served stay', async (t) => {
  const { db, fra } = await sparing(t);
  await served(db, 'stable', ['1', '2', '3']);
  await keep(db, 3_600_000, 1);
  assert.deepEqual(await prune(db, fra), []);

  await run(db.read, sql`update publications set replaced_at = now() - interval '59 minutes'`);
  assert.deepEqual(await prune(db, fra), []);
  await run(
    db.read,
    sql`
      update publications
      set replaced_at = now() - interval '61 minutes'
      where generation = 1`,
  );
  assert.deepEqual(await prune(db, fra), ['pool/1.deb']);

  await keep(db, 0, 2);
  assert.deepEqual(await prune(db, fra), []);
  await keep(db, 0, 1);
  assert.deepEqual(await prune(db, fra), ['pool/2.deb']);
});

test('what another suite needs stays: served, in work, or only captured', async (t) => {
  const { db, fra } = await sparing(t);
  await served(db, 'stable', ['1', '2', '3', '4']);
  await serve(db, 'testing', await capture(db, 'testing', { 'pool/1.deb': '1' }));
  await plan(db, 'testing', await capture(db, 'testing', { 'pool/2.deb': '2' }));
  await capture(db, 'testing', { 'pool/3.deb': '3' });

  assert.deepEqual(await prune(db, fra), []);
  await run(db.read, sql`update distribution_replications set pinned_generation = null`);
  assert.deepEqual(await prune(db, fra), ['pool/2.deb']);
});

test('while a publication is open, neither its generation nor the one before goes', async (t) => {
  const { db, fra } = await sparing(t);
  await served(db, 'stable', ['1', '2']);
  await beginToPublish(
    db,
    await settle(db, 'stable', await capture(db, 'stable', { 'pool/3.deb': '3' })),
  );
  await run(
    db.read,
    sql`
      update distribution_replications
      set pinned_generation = null, served_generation = 0`,
  );
  await capture(db, 'stable', { 'pool/4.deb': '4' });

  assert.deepEqual(await prune(db, fra), ['pool/1.deb']);
  assert.deepEqual(await pathsAt(db, fra), ['pool/2.deb', 'pool/3.deb', 'pool/all.deb']);
});

test('a distribution that left the site keeps there what it served', async (t) => {
  const { db, fra } = await sparing(t);
  await served(db, 'stable', ['1', '2']);
  await run(db.read, sql`delete from distribution_replications`);
  await capture(db, 'stable', { 'pool/3.deb': '3' });
  await run(db.read, sql`update debian_distributions set removed = true`);

  assert.deepEqual(await prune(db, fra), ['pool/1.deb']);
  assert.deepEqual(await pathsAt(db, fra), ['pool/2.deb', 'pool/all.deb']);
});

test('nothing goes while the catalog is empty or lacks a file that is to be kept', async (t) => {
  for (const cut of [
    sql`delete from snapshot_blobs`,
    sql`
      delete from snapshot_blobs
      where blob_id in (
        select b.id
        from blobs b
        join paths p on p.id = b.path_id
        where p.path = 'pool/all.deb'
      )`,
    sql`delete from distribution_snapshots where generation = 2`,
    sql`delete from debian_distributions`,
  ]) {
    const { db, fra } = await sparing(t);
    await served(db, 'stable', ['1', '2']);
    await db.transaction(async (tx) => {
      // Cut from outside, past every foreign key.
      await run(tx, sql`set local session_replication_role = replica`);
      await run(tx, cut);
    });

    await assert.rejects(markUnneeded(db, fra), refusesWith('PRUNE_REFUSED'));
    await assert.rejects(previewPrune(db, { id: fra, name: FRA }), refusesWith('PRUNE_REFUSED'));
    assert.deepEqual(await marked(db, fra), []);
  }
});

test('a run marks no more than its share, also when it is given twice', async (t) => {
  const { db, fra } = await sparing(t);
  const many = Object.fromEntries(
    Array.from({ length: LIMITS.pruneFilesMin + 50 }, (_, index) => [
      `pool/old-${index}.deb`,
      `${index}`,
    ]),
  );
  await serve(db, 'stable', await capture(db, 'stable', many));
  await serve(db, 'stable', await capture(db, 'stable', { 'pool/new.deb': 'new' }));

  assert.deepEqual(await markUnneeded(db, fra), { more: true });
  assert.deepEqual(await markUnneeded(db, fra), { more: true });
  assert.equal((await marked(db, fra)).length, LIMITS.pruneFilesMin);
  assert.equal((await previewPrune(db, { id: fra, name: FRA })).blobs, LIMITS.pruneFilesMin + 50);

  assert.equal((await prune(db, fra)).length, LIMITS.pruneFilesMin);
  assert.equal((await prune(db, fra)).length, 50);
  assert.deepEqual(await pathsAt(db, fra), ['pool/new.deb']);
});

test('a preview counts what would go, and changes nothing', async (t) => {
  const { db, fra } = await sparing(t);
  await served(db, 'stable', ['1', '2', '3']);

  assert.deepEqual(await previewPrune(db, { id: fra, name: FRA }), {
    site: FRA,
    blobs: 2,
    bytes: 200,
    oldestKept: { stable: 3 },
  });
  assert.deepEqual(await marked(db, fra), []);
});

test('a blob needed again while it is deleted is written over that version', async (t) => {
  const { db, fra } = await sparing(t);
  await served(db, 'stable', ['1', '2']);
  await markUnneeded(db, fra);
  const pruning = await deleting(db);
  const [claimed] = await claimMarked(db, pruning, 10);
  assert.equal(claimed?.path, 'pool/1.deb');

  const lane = await start(db, 'stable', await capture(db, 'stable', { 'pool/1.deb': '1' }));
  assert.equal((await barrier(db.read, lane)).unsettled, 1, 'a marked row counts as missing');
  assert.equal((await claim(db, lane)).length, 0, 'and no lane copies it before it was planned');
  await db.transaction((tx) => planBlobs(tx, lane));
  const toWrite = await claim(db, lane);

  assert.deepEqual(
    toWrite.map(({ path, badEtag }) => [path, badEtag]),
    [['pool/1.deb', claimed.etag]],
  );
  assert.equal(await bookFound(db, pruning, claimed.pathId, '"other"'), false);
  await bookGone(db, pruning, [claimed]);
  assert.ok((await pathsAt(db, fra)).includes('pool/1.deb'));
});

test('other bytes at a path wait until prune has deleted, without an operator', async (t) => {
  const { db, fra } = await sparing(t);
  await served(db, 'stable', ['1', '2']);
  await markUnneeded(db, fra);
  const pruning = await deleting(db);
  const gone = await claimMarked(db, pruning, 10);
  const generation = await capture(db, 'stable', { 'pool/1.deb': 'other bytes' });
  const planning = async (wanted: number) => {
    const lane = await start(db, 'stable', wanted);
    return db.transaction((tx) => planBlobs(tx, lane));
  };

  await assert.rejects(planning(generation), refusesWith('NOT_VERIFIED'));
  await bookGone(db, pruning, gone);
  assert.equal((await planning(generation)).files, 1);

  await run(db.read, sql`update distribution_replications set pinned_generation = null`);
  await run(
    db.read,
    sql`
      update blob_registry r
      set state = ${PRUNING}
      from paths p
      where p.id = r.path_id
        and p.path = 'pool/1.deb'`,
  );
  const conflicting = await capture(db, 'stable', {
    'pool/1.deb': 'yet others',
    'pool/all.deb': 'others',
  });
  await assert.rejects(planning(conflicting), refusesWith('PATH_CONFLICT'));
});

test('a row that prune is forgetting at this moment is planned anew', async (t) => {
  const { db, fra } = await sparing(t);
  await served(db, 'stable', ['1', '2']);
  await markUnneeded(db, fra);
  const lane = await start(db, 'stable', await capture(db, 'stable', { 'pool/1.deb': '1' }));

  const planning = await db.transaction(async (tx) => {
    await run(
      tx,
      sql`
        delete from blob_registry
        where site_id = ${fra}
          and state = ${PRUNING}`,
    );
    const begun = db.transaction((other) => planBlobs(other, lane)).then(() => 'planned');
    await isWaiting(db);
    return { begun };
  });
  await planning.begun;

  assert.equal((await barrier(db.read, lane)).unplanned, 0);
});

async function isWaiting(db: Database): Promise<void> {
  const waiting = sql`
    select
    from pg_stat_activity
    where datname = current_database()
      and wait_event_type = 'Lock'`;
  for (const deadline = Date.now() + 10_000; (await one(db.read, waiting)) === null;)
    assert.ok(Date.now() < deadline, 'no connection waits for a lock');
}

/**
 * A capture names an old path again, all of its members being at the site, while prune waits to
 * mark it.
 */
async function beside(
  t: TestContext,
  mark: (db: Database, siteId: number, archiveId: number, pathId: number) => Promise<unknown>,
) {
  const { db, fra } = await sparing(t);
  await served(db, 'stable', ['1', '2']);
  const rows = await all(
    db.read,
    sql<{ archiveId: number; pathId: number; distributionId: number }>`
      select p.archive_id as "archiveId", p.id as "pathId", d.id as "distributionId"
      from paths p, debian_distributions d
      where p.path = 'pool/1.deb'
        and d.name = 'stable'`,
  );
  const { archiveId, pathId, distributionId } = rows[0]!;

  const { marking } = await db.transaction(async (tx) => {
    await lockArchiveShared(tx, distributionId);
    const begun = mark(db, fra, archiveId, pathId);
    await isWaiting(db);
    await run(
      tx,
      sql`
        insert into distribution_snapshots (
          distribution_id, generation, in_release, body_sha256, signers, untorn,
          blob_count, blob_bytes
        )
        select distribution_id, 3, in_release, body_sha256, signers, untorn, 1, 100
        from distribution_snapshots
        where distribution_id = ${distributionId}
          and generation = 2`,
    );
    await run(
      tx,
      sql`
        insert into snapshot_blobs (distribution_id, blob_id, from_generation)
        select ${distributionId}, id, 3
        from blobs
        where path_id = ${pathId}`,
    );
    await run(
      tx,
      sql`
        update debian_distributions
        set latest_generation = 3
        where id = ${distributionId}`,
    );
    return { marking: begun };
  });
  await marking;
  assert.deepEqual(await marked(db, fra), []);
}

test('a capture that names an old path again while prune marks it is seen', (t) =>
  beside(t, (db, siteId, archiveId, pathId) => markRows(db, siteId, archiveId, [pathId])));

test('it would be seen if the lock were taken in the statement that judges', async (t) => {
  const trap = (db: Database, siteId: number, archiveId: number, pathId: number) =>
    db.transaction((tx) =>
      run(
        tx,
        sql`
          with locked as materialized (
            select pg_advisory_xact_lock(${archiveId}::bigint)
          ),
          kept as materialized (${keptGenerations(siteId)})
          update blob_registry r
          set state = ${PRUNING}
          from locked
          where r.site_id = ${siteId}
            and r.path_id = ${pathId}
            and not exists (
              select
              from snapshot_blobs m
              join kept k on k.distribution_id = m.distribution_id
              where m.blob_id = r.blob_id
                and k.generation >= m.from_generation
                and k.generation < m.to_generation
            )`,
      ),
    );

  await assert.rejects(beside(t, trap), assert.AssertionError);
});

test('rows that a killed run marked, claimed or deleted are booked by the next', async (t) => {
  const { db, fra } = await sparing(t);
  await served(db, 'stable', ['1', '2', '3']);
  await markUnneeded(db, fra);
  const killed = await deleting(db);
  assert.equal((await claimMarked(db, killed, 1)).length, 1);

  const next = await deleting(db);
  const claimed = await claimMarked(db, next, 10);
  assert.equal(claimed.length, 2);
  await assert.rejects(claimMarked(db, killed, 1), refusesWith('FENCED'));
  await bookGone(db, killed, claimed);
  assert.equal((await marked(db, fra)).length, 2, 'a late one books nothing');
  await bookGone(db, next, claimed);
  assert.deepEqual(await pathsAt(db, fra), ['pool/3.deb', 'pool/all.deb']);
});

test('slices of a prune are ordered by ticket, and a failure counts once', async (t) => {
  const { db } = await sparing(t);
  const { ticket } = await loadPrune(db, FRA);
  const row = await loadPrune(db, FRA);
  const begun = await startDeleting(db, FRA, row.ticket!, 1);
  assert.ok('claim' in begun);

  const late = await startDeleting(db, FRA, ticket!, 1);
  assert.ok('stale' in late && late.stale.ticket! > row.ticket!);
  await assert.rejects(startDeleting(db, FRA, row.ticket!, 1), refusesWith('FENCED'));
  const report = { code: 'SITE_UNREACHABLE', message: '' } as const;
  await recordPruneFailure(db, FRA, report, row.ticket!);
  await recordPruneFailure(db, FRA, report, row.ticket!);

  const failed = await one(
    db.read,
    sql<{ count: number }>`
    select failure_count as count from prunes`,
  );
  assert.equal(failed!.count, 1);
  await assert.rejects(claimMarked(db, begun, 1), refusesWith('FENCED'));
});
