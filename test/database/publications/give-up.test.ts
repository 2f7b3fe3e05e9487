/** What becomes of a publication that can never be finished, and of what a site shows of it. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { sql } from 'kysely';

import { applyConfiguration } from '../../../src/database/configuration/apply-configuration.ts';
import { readSite } from '../../../src/database/configuration/sites.ts';
import type { Database } from '../../../src/database/orm.ts';
import { giveUpPublication } from '../../../src/database/publications/give-up.ts';
import { readNames } from '../../../src/database/publications/names.ts';
import type { LaneKey } from '../../../src/database/replication-row.ts';
import { finishReplication, startAttempt } from '../../../src/database/replications/attempts.ts';
import { applyCommand } from '../../../src/database/replications/commands.ts';
import { lockLane } from '../../../src/database/replications/lock.ts';
import { all, one, run } from '../../../src/database/sql.ts';
import { aConfiguration } from '../../support/configuration.ts';
import { refusesWith } from '../../support/refuses-with.ts';
import { replicationOf } from '../../support/replication-of.ts';
import {
  aDatabase,
  beginToPublish,
  capture,
  endToPublish,
  publish,
  serve,
  settle,
  start,
} from '../lanes-fixture.ts';
import { keep, pathsAt, prune } from '../prune/prune-fixture.ts';

const AT = { distribution: 'stable', site: 'fra' };

const giveUp = (db: Database): Promise<number | null> =>
  db.transaction(async (tx) => giveUpPublication(tx, (await lockLane(tx, AT))!, 'a test'));

/** Generation 1 is served, the publication of 2 is open, and 3 is captured. */
async function stuck(db: Database): Promise<LaneKey> {
  await serve(db, 'stable', await capture(db, 'stable', { 'pool/1.deb': '1' }));
  const lane = await settle(db, 'stable', await capture(db, 'stable', { 'pool/2.deb': '2' }));
  await beginToPublish(db, lane);
  await capture(db, 'stable', { 'pool/3.deb': '3' });
  return lane;
}

test('a lane whose publication was given up goes on with the newest generation', async (t) => {
  const db = await aDatabase(t);
  const lane = await stuck(db);
  const before = await replicationOf(db.read, AT);
  assert.deepEqual([before.publishing, before.pinned, before.target], [true, 2, 3]);

  assert.equal(await giveUp(db), 2);

  const after = await replicationOf(db.read, AT);
  assert.deepEqual([after.publishing, after.pinned, after.served], [false, null, 1]);
  await assert.rejects(publish(db, lane), refusesWith('FENCED'));
  const late = await startAttempt(db, AT, { generation: 2, ticket: before.ticket!, attempt: 1 });
  assert.ok('stale' in late, 'a step that was scheduled before begins no more');
  const next = await settle(db, 'stable', 3);
  const publication = await beginToPublish(db, next);
  assert.deepEqual([publication.resumed, publication.afterGivenUp], [false, true]);
  await endToPublish(db, publication);
  await run(db.read, sql`update published_names set verified_at = now()`);
  await finishReplication(db, AT, next);
  const served = await replicationOf(db.read, AT);
  assert.deepEqual([served.served, served.state], [3, 'synced']);
  const events = await all(
    db.read,
    sql<{ generation: number; facts: { reason: string } }>`
      select generation, facts
      from distribution_events
      where what = 'given up'`,
  );
  assert.deepEqual(events, [{ generation: 2, facts: { reason: 'a test' } }]);
});

test('a lane is not synced while a name is doubted', async (t) => {
  const db = await aDatabase(t);
  await stuck(db);
  await giveUp(db);
  await serve(db, 'stable', 3);
  const { served, state } = await replicationOf(db.read, AT);
  assert.deepEqual([served, state], [3, 'pending']);
});

test('nothing is given up where no publication is open', async (t) => {
  const db = await aDatabase(t);
  await serve(db, 'stable', await capture(db, 'stable', { 'pool/1.deb': '1' }));
  const before = await replicationOf(db.read, AT);
  assert.equal(await giveUp(db), null);
  const after = await replicationOf(db.read, AT);
  assert.equal(after.rev, before.rev);
});

test('the same generation may be published again, and once only', async (t) => {
  const db = await aDatabase(t);
  const lane = await stuck(db);
  await giveUp(db);
  const again = await start(db, 'stable', 2);
  const publication = await beginToPublish(db, again);
  assert.equal(publication.resumed, false);
  await endToPublish(db, publication);
  assert.equal((await replicationOf(db.read, AT)).served, 2);
  assert.notEqual(again.claim, lane.claim);
});

test('what was visible of it goes a grace after the next publication, not before', async (t) => {
  const db = await aDatabase(t);
  const { id: fra } = await readSite(db.read, 'fra');
  await keep(db, 3_600_000, 1);
  await stuck(db);
  await giveUp(db);
  assert.deepEqual(await prune(db, fra), [], 'it may be visible');
  await serve(db, 'stable', 3);
  assert.deepEqual(await prune(db, fra), [], 'it is in its grace');
  await run(db.read, sql`update publications set replaced_at = now() - interval '61 minutes'`);
  // generation 3 is the newest that was served; 2 never was, however few came after it
  await keep(db, 3_600_000, 2);
  await run(db.read, sql`update publications set replaced_at = null where generation = 3`);
  assert.deepEqual(await prune(db, fra), ['pool/2.deb']);
  assert.deepEqual(await pathsAt(db, fra), ['pool/1.deb', 'pool/3.deb']);
});

test('every name that it may have changed is doubted', async (t) => {
  const db = await aDatabase(t);
  const lane = await stuck(db);
  await run(
    db.read,
    sql`
      insert into published_names (site_id, distribution_id, path, sha256, etag, verified_at)
      select site_id, distribution_id, 'dists/stable/main/x', sha256(''), '"1"', now()
      from publications
      where given_up_at is null
        and published_at is null`,
  );
  await run(
    db.read,
    sql`
      insert into snapshot_indices (distribution_id, generation, path, size)
      values (${lane.distributionId}, 2, 'dists/stable/main/y', 0)`,
  );
  await giveUp(db);

  const names = await readNames(db.read, lane);
  assert.deepEqual(
    Object.fromEntries([...names].map(([path, name]) => [path, [name.etag, name.isTombstone]])),
    {
      'dists/stable/InRelease': [null, true],
      'dists/stable/Release': [null, true],
      'dists/stable/Release.gpg': [null, true],
      'dists/stable/main/x': ['"1"', false],
      'dists/stable/main/y': [null, true],
    },
  );
  const verified = await one(
    db.read,
    sql<{ count: number }>`select count(verified_at) from published_names`,
  );
  assert.equal(verified!.count, 0);
});

test('a site that comes back does not take up what was given up', async (t) => {
  const db = await aDatabase(t);
  await stuck(db);
  await giveUp(db);
  const distributions = { stable: { primary: 'sin', sites: ['sin'] }, testing: { primary: 'sin' } };
  const configuration = (of: object) =>
    applyConfiguration(
      db,
      aConfiguration({ sites: ['fra', 'sin'], distributions: of as never }),
      false,
    );
  await configuration(distributions);
  await configuration({ ...distributions, stable: { primary: 'sin' } });

  const { pinned, publishing, served, target } = await replicationOf(db.read, AT);
  assert.deepEqual(
    { pinned, publishing, served, target },
    {
      pinned: null,
      publishing: false,
      served: 1,
      target: 3,
    },
  );
});

test('a lane that gave up a publication is cancelled at once', async (t) => {
  const db = await aDatabase(t);
  await stuck(db);
  await giveUp(db);
  const row = await applyCommand(db, AT, { want: 'cancel' }, null);
  assert.equal(row!.state, 'cancelled');
});
