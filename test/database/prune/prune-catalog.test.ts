/** What the catalog may lose. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import test from 'node:test';

import { sql } from 'kysely';

import {
  missingContents,
  storeIndexContent,
} from '../../../src/database/catalog/index-contents.ts';
import { pruneArchives } from '../../../src/database/prune/prune-catalog.ts';
import { previewPrune } from '../../../src/database/prune/unneeded-blobs.ts';
import { planBlobs } from '../../../src/database/registry/plan-blobs.ts';
import { run } from '../../../src/database/sql.ts';
import { LIMITS } from '../../../src/domain/limits.ts';
import { sha256Of } from '../../../src/domain/sha256.ts';
import { refusesWith } from '../../support/refuses-with.ts';
import { capture, serve, start } from '../lanes-fixture.ts';
import { countOf, FRA, pathsAt, prune, served, sparing } from './prune-fixture.ts';

test('the catalog loses what no site needs, and captures go on', async (t) => {
  const { db, fra, sin } = await sparing(t);
  await served(db, 'stable', ['1', '2', '3', '4']);
  await serve(db, 'stable', 4, 'sin');
  await serve(db, 'testing', await capture(db, 'testing', { 'pool/1.deb': '1' }), 'sin');
  const count = (table: string) => countOf(db, table);

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

test('a lane whose generation was pruned meanwhile goes on to the newest', async (t) => {
  const { db } = await sparing(t);
  await served(db, 'stable', ['1', '2']);
  await pruneArchives(db);

  const late = await start(db, 'stable', 1, 'sin');

  await assert.rejects(
    db.transaction((tx) => planBlobs(tx, late)),
    refusesWith('SUPERSEDED'),
  );
});

test('bytes of an unused index go a day later, unless a capture finds them', async (t) => {
  const { db } = await sparing(t);
  const bytes = Buffer.alloc(LIMITS.chunkBytes + 1, 'x');
  const store = () =>
    storeIndexContent(db, { size: bytes.length, sha256: sha256Of(bytes) }, Readable.from([bytes]));
  const age = () =>
    run(
      db.read,
      sql`
        update index_contents
        set unused_since = unused_since - interval '25 hours'`,
    );
  const chunks = () => countOf(db, 'index_contents');
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
