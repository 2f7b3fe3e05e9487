/** An open publication with a file that is nowhere: when it is given up, and when not. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { sql } from 'kysely';

import type { Database } from '../../../src/database/orm.ts';
import type { LaneKey } from '../../../src/database/replication-row.ts';
import { applyCommand } from '../../../src/database/replications/commands.ts';
import { recordFailure } from '../../../src/database/replications/failures.ts';
import { all, run } from '../../../src/database/sql.ts';
import type { ErrorCode } from '../../../src/domain/errors.ts';
import { isDue } from '../../../src/domain/replication.ts';
import { replicationOf } from '../../support/replication-of.ts';
import { aDatabase, beginToPublish, capture, serve, settle } from '../lanes-fixture.ts';

const AT = { distribution: 'stable', site: 'fra' };

/** Generation 1 is served, and the publication of 2 is open. */
async function publishing(db: Database): Promise<LaneKey> {
  await serve(db, 'stable', await capture(db, 'stable', { 'pool/1.deb': '1' }));
  const lane = await settle(db, 'stable', await capture(db, 'stable', { 'pool/2.deb': '2' }));
  await beginToPublish(db, lane);
  return lane;
}

const fail = async (db: Database, code: ErrorCode, ticket: number | null = null) =>
  (await recordFailure(db, AT, { code, message: `it says ${code}` }, ticket))!;

const incidents = (db: Database) =>
  all(
    db.read,
    sql<{ code: string; generation: number; message: string }>`
      select code, generation, message
      from incidents`,
  );

test('nowhere, and a newer one at hand: on to that one, with an incident', async (t) => {
  for (const code of ['BLOB_MISSING', 'BLOB_MISMATCH'] as const) {
    const db = await aDatabase(t);
    await publishing(db);
    await capture(db, 'stable', { 'pool/3.deb': '3' });

    const row = await fail(db, code);

    const { state, pinned, target, publishing: open, served, code: failed } = row;
    assert.deepEqual(
      { state, pinned, target, open, served, failed },
      { state: 'pending', pinned: null, target: 3, open: false, served: 1, failed: null },
    );
    assert.equal(isDue(row, Date.now()), true);
    assert.deepEqual(await incidents(db), [
      {
        code,
        generation: 2,
        message: `it says ${code}; its publication was given up for generation 3`,
      },
    ]);
  }
});

test('it stays open where nothing newer is there, or a place could not be asked', async (t) => {
  const db = await aDatabase(t);
  await publishing(db);
  const pinned = async () => {
    const row = await replicationOf(db.read, AT);
    return [row.publishing, row.pinned];
  };
  await fail(db, 'BLOB_MISSING');
  assert.deepEqual(await pinned(), [true, 2]);

  await capture(db, 'stable', { 'pool/3.deb': '3' });
  for (const code of [
    'BLOB_UNREACHABLE',
    'ARCHIVE_UNREACHABLE',
    'SITE_UNREACHABLE',
    'FOREIGN_WRITE',
    'SUPERSEDED',
    'UNKNOWN',
  ] as const) {
    await fail(db, code);
    assert.deepEqual(await pinned(), [true, 2], code);
  }
});

test('a failure that was overtaken gives nothing up', async (t) => {
  const db = await aDatabase(t);
  const lane = await publishing(db);
  await capture(db, 'stable', { 'pool/3.deb': '3' });
  const row = await fail(db, 'BLOB_MISSING', lane.ticket - 1);
  assert.deepEqual([row.publishing, row.pinned], [true, 2]);
});

test('an operator who holds the lane holds its publication, too', async (t) => {
  for (const command of [{ paused: true }, { want: 'cancel' }] as const) {
    const db = await aDatabase(t);
    await publishing(db);
    await capture(db, 'stable', { 'pool/3.deb': '3' });
    await applyCommand(db, AT, command, null);

    const row = await fail(db, 'BLOB_MISSING');
    assert.deepEqual([row.publishing, row.pinned], [true, 2]);

    await applyCommand(db, AT, { paused: false, want: 'retry' }, null);
    assert.equal((await fail(db, 'BLOB_MISSING')).publishing, false);
  }
});

test('without an open publication nothing is given up', async (t) => {
  const db = await aDatabase(t);
  await serve(db, 'stable', await capture(db, 'stable', { 'pool/1.deb': '1' }));
  await settle(db, 'stable', await capture(db, 'stable', { 'pool/2.deb': '2' }));
  await capture(db, 'stable', { 'pool/3.deb': '3' });
  assert.equal((await fail(db, 'BLOB_MISSING')).state, 'failed');
  const given = await run(
    db.read,
    sql`update publications set id = default where given_up_at is not null`,
  );
  assert.equal(given, 0);
});
