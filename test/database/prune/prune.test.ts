/** What a site may lose, and what must never be lost beside captures, plans and publications. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import test, { type TestContext } from 'node:test';

import { sql } from 'kysely';

import {
  missingContents,
  storeIndexContent,
} from '../../../src/database/catalog/index-contents.ts';
import { lockArchiveShared } from '../../../src/database/locks.ts';
import { type Database } from '../../../src/database/orm.ts';
import { keptGenerations } from '../../../src/database/prune/kept-generations.ts';
import { markRows, markUnneeded } from '../../../src/database/prune/mark-unneeded.ts';
import { bookFound, bookGone, claimMarked } from '../../../src/database/prune/marked-blobs.ts';
import { pruneArchives } from '../../../src/database/prune/prune-catalog.ts';
import { loadPrune, startPrune } from '../../../src/database/prune/prunes.ts';
import { previewPrune } from '../../../src/database/prune/unneeded-blobs.ts';
import { openPublication } from '../../../src/database/publications/publications.ts';
import { barrier } from '../../../src/database/registry/barrier.ts';
import { planBlobs } from '../../../src/database/registry/plan-blobs.ts';
import { findSite } from '../../../src/database/views/names.ts';
import { LIMITS } from '../../../src/domain/limits.ts';
import { sha256Of } from '../../../src/domain/sha256.ts';
import { aDatabase, capture, claim, plan, says, serve, settle, start } from '../lanes-fixture.ts';

const PRUNING = 4;
const FRA = 'fra';

/**
 * Sites keep nothing but what they need: no grace, and of what they served only what they serve.
 */
async function sparing(t: TestContext): Promise<{ db: Database; fra: number; sin: number }> {
  const db = await aDatabase(t);
  await keep(db, 0, 1);
  const idOf = async (name: string) => (await findSite(db.read, name)).id;
  return { db, fra: await idOf(FRA), sin: await idOf('sin') };
}

const keep = (db: Database, graceMs: number, generations: number) =>
  sql`update replication_sites set grace_ms = ${graceMs}, kept_generations = ${generations}`.execute(
    db.read.kysely,
  );

const pathsAt = async (db: Database, siteId: number, state?: number): Promise<string[]> =>
  (
    await sql<{ path: string }>`
      select p.path from blob_registry r join paths p on p.id = r.path_id
      where r.site_id = ${siteId} and (${state ?? null}::int is null or r.state = ${state ?? null}) order by p.path`.execute(
      db.read.kysely,
    )
  ).rows.map((row) => row.path);

const marked = (db: Database, siteId: number) => pathsAt(db, siteId, PRUNING);

let attempt = 5_000_000;

/** A whole run, as if the site deleted at once. */
async function prune(db: Database, siteId: number): Promise<string[]> {
  await loadPrune(db, FRA);
  await startPrune(db, siteId);
  await markUnneeded(db, siteId);
  const gone = await claimMarked(db, siteId, (attempt += 1), 10_000);
  await bookGone(db, siteId, attempt, gone);
  return gone.map((blob) => blob.path as string).sort();
}

/** Generation by generation, each with a file of its own and one that all have. */
async function served(
  db: Database,
  name: string,
  generations: readonly string[],
  site = FRA,
): Promise<void> {
  for (const own of generations)
    await serve(
      db,
      name,
      await capture(db, name, { [`pool/${own}.deb`]: own, 'pool/all.deb': 'all' }),
      site,
    );
}

test('a site loses what it stopped serving, and nothing that it serves', async (t) => {
  const { db, fra, sin } = await sparing(t);
  await served(db, 'stable', ['1', '2', '3']);

  assert.deepEqual(await prune(db, fra), ['pool/1.deb', 'pool/2.deb']);

  assert.deepEqual(await pathsAt(db, fra), ['pool/3.deb', 'pool/all.deb']);
  assert.deepEqual(await pathsAt(db, sin), []);
  assert.deepEqual(await prune(db, fra), [], 'a second run finds nothing');
  assert.equal((await loadPrune(db, FRA)).blobs, 0);
});

test('grace counts from when this site stopped serving it, and the newest that it served stay whatever the clock says', async (t) => {
  const { db, fra } = await sparing(t);
  await served(db, 'stable', ['1', '2', '3']);
  await keep(db, 3_600_000, 1);
  assert.deepEqual(await prune(db, fra), []);

  await sql`update publications set replaced_at = now() - interval '59 minutes'`.execute(
    db.read.kysely,
  );
  assert.deepEqual(await prune(db, fra), []);
  await sql`update publications set replaced_at = now() - interval '61 minutes' where generation = 1`.execute(
    db.read.kysely,
  );
  assert.deepEqual(await prune(db, fra), ['pool/1.deb']);

  await keep(db, 0, 2);
  assert.deepEqual(await prune(db, fra), []);
  await keep(db, 0, 1);
  assert.deepEqual(await prune(db, fra), ['pool/2.deb']);
});

test('what another suite of the archive needs stays: served, in work, or only captured', async (t) => {
  const { db, fra } = await sparing(t);
  await served(db, 'stable', ['1', '2', '3', '4']);
  await serve(db, 'testing', await capture(db, 'testing', { 'pool/1.deb': '1' }));
  await plan(db, 'testing', await capture(db, 'testing', { 'pool/2.deb': '2' }));
  await capture(db, 'testing', { 'pool/3.deb': '3' });

  assert.deepEqual(await prune(db, fra), []);
  await sql`update distribution_replications set pinned_generation = null`.execute(db.read.kysely);
  assert.deepEqual(await prune(db, fra), ['pool/2.deb']);
});

test('while a publication is open, neither its generation nor the one before goes', async (t) => {
  const { db, fra } = await sparing(t);
  await served(db, 'stable', ['1', '2']);
  await openPublication(
    db,
    await settle(db, 'stable', await capture(db, 'stable', { 'pool/3.deb': '3' })),
  );
  await sql`update distribution_replications set pinned_generation = null, served_generation = 0`.execute(
    db.read.kysely,
  );
  await capture(db, 'stable', { 'pool/4.deb': '4' });

  assert.deepEqual(await prune(db, fra), ['pool/1.deb']);
  assert.deepEqual(await pathsAt(db, fra), ['pool/2.deb', 'pool/3.deb', 'pool/all.deb']);
});

test('a distribution that left the site keeps there what it served', async (t) => {
  const { db, fra } = await sparing(t);
  await served(db, 'stable', ['1', '2']);
  await sql`delete from distribution_replications`.execute(db.read.kysely);
  await capture(db, 'stable', { 'pool/3.deb': '3' });
  await sql`update debian_distributions set removed = true`.execute(db.read.kysely);

  assert.deepEqual(await prune(db, fra), ['pool/1.deb']);
  assert.deepEqual(await pathsAt(db, fra), ['pool/2.deb', 'pool/all.deb']);
});

test('nothing goes while it is not certain what is to be kept: an empty catalog, or one that lacks a single file', async (t) => {
  for (const cut of [
    sql`delete from snapshot_blobs`,
    sql`delete from snapshot_blobs where blob_id in (select b.id from blobs b join paths p on p.id = b.path_id where p.path = 'pool/all.deb')`,
    sql`delete from distribution_snapshots where generation = 2`,
    sql`delete from debian_distributions`,
  ]) {
    const { db, fra } = await sparing(t);
    await served(db, 'stable', ['1', '2']);
    await db.transaction(async ({ kysely }) => {
      await sql`set local session_replication_role = replica`.execute(kysely); // cut from outside, past every foreign key
      await cut.execute(kysely);
    });

    await assert.rejects(markUnneeded(db, fra), says('PRUNE_REFUSED'));
    await assert.rejects(previewPrune(db, { id: fra, name: FRA }), says('PRUNE_REFUSED'));
    assert.deepEqual(await marked(db, fra), []);
  }
});

test('a run marks no more than its share, also when it is given twice; the rest is for the next one', async (t) => {
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

test('a blob that is needed again while it is deleted is written over the version that is being deleted, and never forgotten', async (t) => {
  const { db, fra } = await sparing(t);
  await served(db, 'stable', ['1', '2']);
  await markUnneeded(db, fra);
  const [taken] = await claimMarked(db, fra, (attempt += 1), 10);
  assert.equal(taken?.path, 'pool/1.deb');

  const lane = await start(db, 'stable', await capture(db, 'stable', { 'pool/1.deb': '1' }));
  assert.equal((await barrier(db.read, lane)).unsettled, 1, 'a marked row counts as missing');
  assert.equal((await claim(db, lane)).length, 0, 'and nobody copies it before it was planned');
  await db.transaction((tx) => planBlobs(tx, lane));
  const claimed = await claim(db, lane);

  assert.deepEqual(
    claimed.map(({ path, badEtag }) => [path, badEtag]),
    [['pool/1.deb', taken.etag]],
  );
  assert.equal(await bookFound(db, fra, attempt, taken.pathId, '"other"'), false);
  await bookGone(db, fra, attempt, [taken]);
  assert.ok((await pathsAt(db, fra)).includes('pool/1.deb'));
});

test('other bytes at a path that prune is deleting wait for it, and for no person; a conflict with what is needed comes first', async (t) => {
  const { db, fra } = await sparing(t);
  await served(db, 'stable', ['1', '2']);
  await markUnneeded(db, fra);
  const gone = await claimMarked(db, fra, (attempt += 1), 10);
  const generation = await capture(db, 'stable', { 'pool/1.deb': 'other bytes' });
  const planning = async (wanted: number) => {
    const lane = await start(db, 'stable', wanted);
    return db.transaction((tx) => planBlobs(tx, lane));
  };

  await assert.rejects(planning(generation), says('NOT_VERIFIED'));
  await bookGone(db, fra, attempt, gone);
  assert.equal((await planning(generation)).files, 1);

  await sql`update distribution_replications set pinned_generation = null`.execute(db.read.kysely);
  await sql`update blob_registry r set state = ${PRUNING} from paths p where p.id = r.path_id and p.path = 'pool/1.deb'`.execute(
    db.read.kysely,
  );
  const conflicting = await capture(db, 'stable', {
    'pool/1.deb': 'yet others',
    'pool/all.deb': 'others',
  });
  await assert.rejects(planning(conflicting), says('PATH_CONFLICT'));
});

test('a row that prune is forgetting at this moment is planned anew', async (t) => {
  const { db, fra } = await sparing(t);
  await served(db, 'stable', ['1', '2']);
  await markUnneeded(db, fra);
  const lane = await start(db, 'stable', await capture(db, 'stable', { 'pool/1.deb': '1' }));

  const planning = await db.transaction(async (tx) => {
    await sql`delete from blob_registry where site_id = ${fra} and state = ${PRUNING}`.execute(
      tx.kysely,
    );
    const begun = db.transaction((other) => planBlobs(other, lane)).then(() => 'planned');
    await isWaiting(db);
    return { begun };
  });
  await planning.begun;

  assert.equal((await barrier(db.read, lane)).unplanned, 0);
});

async function isWaiting(db: Database): Promise<void> {
  const waiting = sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
  for (
    const deadline = Date.now() + 10_000;
    (await waiting.execute(db.read.kysely)).rows.length === 0;
  )
    assert.ok(Date.now() < deadline, 'somebody waits for a lock');
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
  const { rows } = await sql<{ archiveId: number; pathId: number; distributionId: number }>`
    select p.archive_id as "archiveId", p.id as "pathId", d.id as "distributionId"
    from paths p, debian_distributions d where p.path = 'pool/1.deb' and d.name = 'stable'`.execute(
    db.read.kysely,
  );
  const { archiveId, pathId, distributionId } = rows[0]!;

  const { marking } = await db.transaction(async (tx) => {
    await lockArchiveShared(tx, archiveId);
    const begun = mark(db, fra, archiveId, pathId);
    await isWaiting(db);
    await sql`
      insert into distribution_snapshots (distribution_id, generation, in_release, body_sha256, signers, untorn, blob_count, blob_bytes)
      select distribution_id, 3, in_release, body_sha256, signers, untorn, 1, 100 from distribution_snapshots
      where distribution_id = ${distributionId} and generation = 2`.execute(tx.kysely);
    await sql`
      insert into snapshot_blobs (distribution_id, blob_id, from_generation)
      select ${distributionId}, id, 3 from blobs where path_id = ${pathId}`.execute(tx.kysely);
    await sql`update debian_distributions set latest_generation = 3 where id = ${distributionId}`.execute(
      tx.kysely,
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
      sql`
        with locked as materialized (select pg_advisory_xact_lock(${archiveId}::bigint)),
        kept as materialized (${keptGenerations(siteId)})
        update blob_registry r set state = ${PRUNING} from locked
        where r.site_id = ${siteId} and r.path_id = ${pathId} and not exists (
          select from snapshot_blobs m join kept k on k.distribution_id = m.distribution_id
          where m.blob_id = r.blob_id and k.generation >= m.from_generation and k.generation < m.to_generation)`.execute(
        tx.kysely,
      ),
    );

  await assert.rejects(beside(t, trap), assert.AssertionError);
});

test('a run that was killed with rows marked, taken, or deleted and not booked is finished by the next one', async (t) => {
  const { db, fra } = await sparing(t);
  await served(db, 'stable', ['1', '2', '3']);
  await markUnneeded(db, fra);
  assert.equal((await claimMarked(db, fra, (attempt += 1), 1)).length, 1);

  const taken = await claimMarked(db, fra, (attempt += 1), 10);
  assert.equal(taken.length, 2);
  await bookGone(db, fra, attempt - 1, taken);
  assert.equal((await marked(db, fra)).length, 2, 'a late one books nothing');
  await bookGone(db, fra, attempt, taken);
  assert.deepEqual(await pathsAt(db, fra), ['pool/3.deb', 'pool/all.deb']);
});

test('the catalog loses what no site needs, and captures go on', async (t) => {
  const { db, fra, sin } = await sparing(t);
  await served(db, 'stable', ['1', '2', '3', '4']);
  await serve(db, 'stable', 4, 'sin');
  await serve(db, 'testing', await capture(db, 'testing', { 'pool/1.deb': '1' }), 'sin');
  const count = async (from: string) =>
    (await sql<{ count: number }>`select count(*) from ${sql.table(from)}`.execute(db.read.kysely))
      .rows[0]!.count;

  assert.equal(
    await pruneArchives(db),
    3,
    'what fra has not deleted yet is no reason to keep a snapshot',
  );
  assert.deepEqual(
    [await count('blobs'), await count('paths')],
    [5, 5],
    'but a reason to keep its blobs',
  );
  await prune(db, fra);
  assert.equal(await pruneArchives(db), 0);
  assert.equal(await pruneArchives(db), 0);

  assert.deepEqual(
    await pathsAt(db, fra),
    ['pool/1.deb', 'pool/4.deb', 'pool/all.deb'],
    'fra shall have what testing has',
  );
  assert.deepEqual(
    [
      await count('distribution_snapshots'),
      await count('snapshot_blobs'),
      await count('publications'),
    ],
    [2, 3, 3],
  );
  assert.deepEqual([await count('blobs'), await count('paths')], [3, 3]);
  await serve(
    db,
    'stable',
    await capture(db, 'stable', { 'pool/2.deb': '2', 'pool/all.deb': 'all' }),
  );
  assert.equal((await previewPrune(db, { id: fra, name: FRA })).blobs, 1);
  assert.deepEqual(await pathsAt(db, sin), ['pool/1.deb', 'pool/4.deb', 'pool/all.deb']);
});

test('a lane that takes up a generation which was pruned meanwhile goes on to the newest', async (t) => {
  const { db } = await sparing(t);
  await served(db, 'stable', ['1', '2']);
  await pruneArchives(db);

  const late = await start(db, 'stable', 1, 'sin');

  await assert.rejects(
    db.transaction((tx) => planBlobs(tx, late)),
    says('SUPERSEDED'),
  );
});

test('bytes of an index that nothing names go a day later, unless a capture has found them meanwhile', async (t) => {
  const { db } = await sparing(t);
  const bytes = Buffer.alloc(LIMITS.chunkBytes + 1, 'x');
  const store = () =>
    storeIndexContent(db, { size: bytes.length, sha256: sha256Of(bytes) }, Readable.from([bytes]));
  const age = () =>
    sql`update index_contents set unused_since = unused_since - interval '25 hours'`.execute(
      db.read.kysely,
    );
  const chunks = async () =>
    (await sql<{ count: number }>`select count(*) from index_contents`.execute(db.read.kysely))
      .rows[0]!.count;
  await store();

  for (const takeUp of [() => missingContents(db.read, [sha256Of(bytes)]), store]) {
    await pruneArchives(db);
    await age();
    await takeUp();
    await pruneArchives(db);
    assert.equal(await chunks(), 2);
  }
  await age();
  await pruneArchives(db);

  assert.equal(await chunks(), 0);
  assert.equal((await missingContents(db.read, [sha256Of(bytes)])).size, 1);
});

const OLD = 300;
const NEW = 60_000;

/**
 * A suite as large as Debian's: a generation that nobody keeps has 300 files of its own, the newest
 * has 60,000.
 */
async function aLargeSite(t: TestContext) {
  const { db, fra } = await sparing(t);
  await db.transaction(async ({ kysely }) => {
    await sql`insert into paths (archive_id, path) select a.id, 'pool/' || n || '.deb' from archives a, generate_series(1, ${OLD + NEW}::int) n`.execute(
      kysely,
    );
    await sql`insert into blobs (path_id, size, sha256) select id, 100, sha256(path::bytea) from paths`.execute(
      kysely,
    );
    await sql`
      insert into snapshot_blobs (distribution_id, blob_id, from_generation, to_generation)
      select d.id, b.id, case when b.id <= ${OLD} then 1 else 2 end, case when b.id <= ${OLD} then 2 else 2147483647 end
      from blobs b, debian_distributions d where d.name = 'stable'`.execute(kysely);
    await sql`
      insert into distribution_snapshots (distribution_id, generation, in_release, body_sha256, signers, untorn, blob_count, blob_bytes)
      select id, g, '', sha256(''), '{}', true, case g when 1 then ${OLD}::int else ${NEW}::int end, 1
      from debian_distributions, generate_series(1, 2) g where name = 'stable'`.execute(kysely);
    await sql`update debian_distributions set latest_generation = 2 where name = 'stable'`.execute(
      kysely,
    );
    await sql`
      insert into blob_registry (site_id, path_id, blob_id, state, verification_state, etag)
      select s.id, b.path_id, b.id, 2, 2, '"1"' from blobs b, replication_sites s where s.name = ${FRA}`.execute(
      kysely,
    );
  });
  await sql`analyze`.execute(db.read.kysely);
  return { db, fra };
}

/**
 * Runs work in one transaction, and counts the rows that it read of the large tables, and how often
 * it read one of them whole.
 */
async function reading(
  db: Database,
  work: (inside: Database) => Promise<unknown>,
): Promise<{ rows: number; scans: number }> {
  return db.transaction(async (tx) => {
    const count = async () =>
      (
        await sql<{ rows: number; scans: number }>`
          select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint as rows, sum(seq_scan)::bigint as scans from pg_stat_xact_user_tables
          where relname in ('blob_registry', 'snapshot_blobs', 'blobs', 'paths')`.execute(tx.kysely)
      ).rows[0]!;
    // what earlier transactions of this connection have not reported yet
    const before = await count();
    await work({ ...db, read: tx, transaction: (inner) => inner(tx) });
    const after = await count();
    return { rows: after.rows - before.rows, scans: after.scans - before.scans };
  });
}

test('marking under the lock reads what is marked, and nothing else of a large site; finding it reads each row a few times', async (t) => {
  const { db, fra } = await aLargeSite(t);
  const { rows } = await sql<{
    id: number;
    archiveId: number;
  }>`select id, archive_id as "archiveId" from paths where id <= ${OLD}`.execute(db.read.kysely);
  const pathIds = rows.map((row) => row.id);

  const found = await reading(db, (inside) => markUnneeded(inside, fra));
  await sql`update blob_registry set state = 2, verification_state = 2 where state = ${PRUNING}`.execute(
    db.read.kysely,
  );
  const marking = await reading(db, (inside) => markRows(inside, fra, rows[0]!.archiveId, pathIds));

  assert.equal((await marked(db, fra)).length, OLD);
  assert.ok(found.rows <= 12 * (OLD + NEW), `${found.rows} rows read`);
  assert.equal(marking.scans, 0);
  assert.ok(marking.rows <= 20 * OLD, `${marking.rows} rows read`);
});
