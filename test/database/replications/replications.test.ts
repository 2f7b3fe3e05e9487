import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { sql } from 'kysely';

import { replicateTo } from '../../../src/database/configuration/replicate-to.ts';
import { connectDatabase, type Database } from '../../../src/database/orm.ts';
import type { LaneAt } from '../../../src/database/replication-row.ts';
import {
  finishReplication,
  startAttempt,
  type Begun,
  type Stale,
} from '../../../src/database/replications/attempts.ts';
import { applyCommand } from '../../../src/database/replications/commands.ts';
import { recordFailure } from '../../../src/database/replications/failures.ts';
import { recordCaptureFailure, recordLook } from '../../../src/database/replications/looks.ts';
import { loadRoster } from '../../../src/database/replications/roster.ts';
import { wantGeneration } from '../../../src/database/replications/want-generation.ts';
import { readDatabaseClock } from '../../../src/database/server/clock.ts';
import { ms } from '../../../src/database/sql.ts';
import type { ErrorCode, ErrorReport } from '../../../src/domain/errors.ts';
import { LIMITS } from '../../../src/domain/limits.ts';
import type { Replication } from '../../../src/domain/replication.ts';
import { refusesWith } from '../../support/refuses-with.ts';
import { replicationOf } from '../../support/replication-of.ts';
import { seeded } from '../../support/seeded.ts';
import {
  aDistribution,
  DISTRIBUTION,
  NO_VALIDATOR,
  type Fixture,
} from '../distribution-fixture.ts';

const SITES = ['fra', 'sin', 'iad', 'syd', 'gru'];
const FRA = { distribution: DISTRIBUTION, site: 'fra' };
const report = (code: ErrorCode, facts: Partial<ErrorReport> = {}): ErrorReport => ({
  code,
  message: code,
  ...facts,
});

const fixtures: Fixture[] = [];
after(() => Promise.all(fixtures.map((fixture) => fixture.close())));

/** The fixture with a captured generation that every site wants. */
async function captured(sites = ['fra'], generation = 1): Promise<Fixture> {
  const fixture = await aDistribution({ sites });
  fixtures.push(fixture);
  await capture(fixture, generation);
  return fixture;
}

async function capture({ db, distributionId }: Fixture, generation: number): Promise<void> {
  await db.transaction(async (tx) => {
    await sql`update debian_distributions set latest_generation = ${generation}`.execute(tx.kysely);
    await wantGeneration(tx, distributionId, generation);
  });
}

/** What publishSnapshot commits: an open publication, and then its end. */
const openPublication = ({ db }: Fixture, generation: number) =>
  sql`insert into publications (distribution_id, site_id, generation, fence, replaces)
      select distribution_id, site_id, ${generation}, fence, '{}'
      from distribution_replications`.execute(db.read.kysely);

async function serve({ db }: Fixture, generation: number, site = 'fra'): Promise<void> {
  await sql`update publications set published_at = now()`.execute(db.read.kysely);
  await sql`update distribution_replications set served_generation = ${generation}
            where site_id = (select id from replication_sites where name = ${site})`.execute(
    db.read.kysely,
  );
}

const openIncidents = async ({ db }: Fixture) =>
  (
    await sql<{
      code: string;
      times: number;
    }>`select code, times from incidents where resolved_at is null order by id`.execute(
      db.read.kysely,
    )
  ).rows;

/** Without what is another whenever it is read: its ticket, and how long it is until then. */
const rowOf = async ({ db }: Fixture, at: LaneAt): Promise<Replication> => {
  const { ticket: _, retryInMs: __, ...row } = await replicationOf(db.read, at);
  return row;
};

/** Later than all that a database of a test issues by itself. */
const ticketOf = (number: number): number => 1e14 + 1_000 * number;

const started = new WeakMap<Database, Map<string, Begun>>();

const begin = (
  db: Database,
  at: LaneAt,
  generation: number,
  number: number,
  step: { attempt?: number; takesVerify?: boolean } = {},
): Promise<Begun | Stale> =>
  startAttempt(db, at, { generation, ticket: ticketOf(number), attempt: 1, ...step });

/** An attempt that begins well, with the ticket of this number. */
async function start(...args: Parameters<typeof begin>): Promise<Begun> {
  const [db, { site }, , number] = args;
  const begun = await begin(...args);
  if ('stale' in begun) throw new Error(`the ticket ${number} is stale`);
  const ofDatabase = started.get(db) ?? new Map<string, Begun>();
  started.set(db, ofDatabase.set(`${site} ${number}`, begun));
  return begun;
}

const finish = (db: Database, at: LaneAt, number: number): Promise<Replication> =>
  finishReplication(db, at, started.get(db)!.get(`${at.site} ${number}`)!.key);

const facts = ({ state, pinned, retryCount, code }: Replication) => ({
  state,
  pinned,
  retryCount,
  code,
});

test('a ticket older than another that came is answered with the row alone', async () => {
  const fixture = await captured();
  const { db } = fixture;

  const { row } = await start(db, FRA, 1, 200);
  const before = await rowOf(fixture, FRA);
  const late = await begin(db, FRA, 1, 199);
  const ofAnother = await begin(db, FRA, 2, 300);

  assert.deepEqual(facts(row), { state: 'started', pinned: 1, retryCount: 0, code: null });
  for (const begun of [late, ofAnother]) {
    assert.ok('stale' in begun);
    const { ticket, retryInMs: _, ...stale } = begun.stale;
    assert.deepEqual(stale, before);
    assert.ok(ticket! > ticketOf(200));
  }
  assert.equal((await start(db, FRA, 1, 201)).row.state, 'started');
});

test('of attempts of one step the later counts, in whatever sequence they begin', async () => {
  const fixture = await captured();
  const { db } = fixture;
  const first = await start(db, FRA, 1, 200);

  await assert.rejects(begin(db, FRA, 1, 200), refusesWith('FENCED'), 'the same attempt, twice');
  await start(db, FRA, 1, 200, { attempt: 3 });
  await assert.rejects(begin(db, FRA, 1, 200, { attempt: 2 }), refusesWith('FENCED'));
  await serve(fixture, 1);

  await assert.rejects(finishReplication(db, FRA, first.key), refusesWith('FENCED'));
  assert.equal((await finish(db, FRA, 200)).state, 'synced');
});

test('a fence from a clock that was a year ahead wedges nothing', async () => {
  const fixture = await captured();
  const { db } = fixture;
  const year = 365 * 24 * 60 * 60_000;
  await sql`update distribution_replications set fence = ${Date.now() + 1_000 * year}`.execute(
    db.read.kysely,
  );

  // A workflow that decided on a row from before is told of the row as it is, and goes on with it.
  const stale = await startAttempt(db, FRA, { generation: 1, ticket: 3e12, attempt: 1 });
  assert.ok('stale' in stale);
  const { ticket } = stale.stale;
  const begun = await startAttempt(db, FRA, { generation: 1, ticket: ticket!, attempt: 1 });
  assert.ok('row' in begun);
  const failed = await recordFailure(db, FRA, report('SITE_STALLED'), begun.row.ticket!);
  const cancelled = await applyCommand(db, FRA, { want: 'cancel' }, failed!.ticket!);
  const retried = await applyCommand(db, FRA, { want: 'retry' }, cancelled!.ticket!);
  const next = await startAttempt(db, FRA, {
    generation: 1,
    ticket: retried!.ticket!,
    attempt: 1,
  });

  assert.deepEqual([failed!.state, cancelled!.state], ['failed', 'cancelled']);
  assert.ok('row' in next);
});

test('a step of a run that began before there were tickets works as the newest', async () => {
  const fixture = await captured();
  const { db } = fixture;
  const without = { generation: 1, ticket: null, attempt: 1 };
  const first = await startAttempt(db, FRA, without);
  const second = await startAttempt(db, FRA, without);
  await serve(fixture, 1);

  assert.ok('key' in first && 'key' in second);
  await assert.rejects(finishReplication(db, FRA, first.key), refusesWith('FENCED'));
  assert.equal((await finishReplication(db, FRA, second.key)).state, 'synced');
});

test('a failure counts once, and only while no newer step has begun', async () => {
  const fixture = await captured();
  const { db } = fixture;
  await start(db, FRA, 1, 200);

  const once = await recordFailure(db, FRA, report('SITE_STALLED'), ticketOf(200));
  const twice = await recordFailure(db, FRA, report('SITE_STALLED'), ticketOf(200));
  await start(db, FRA, 1, 300);
  const late = await recordFailure(db, FRA, report('SITE_STALLED'), ticketOf(200));

  assert.deepEqual([once!.retryCount, twice!.retryCount, late!.retryCount], [1, 1, 1]);
  assert.equal(late!.state, 'started');
  assert.deepEqual(await openIncidents(fixture), [{ code: 'SITE_STALLED', times: 1 }]);
});

test('a step that was scheduled before a failure or a cancel does not begin any more', async () => {
  for (const end of [
    (db: Database) => recordFailure(db, FRA, report('SITE_STALLED'), ticketOf(200)),
    (db: Database) => applyCommand(db, FRA, { want: 'cancel' }, ticketOf(200)),
  ]) {
    const { db } = await captured();
    await end(db);

    assert.ok('stale' in (await begin(db, FRA, 1, 200)));
  }
});

test('a replication that left and came back is not worked on by what came before', async () => {
  const fixture = await captured();
  const { db, distributionId } = fixture;
  const { row, key } = await start(db, FRA, 1, 0);
  const siteId = key.siteId;
  await db.transaction((tx) => replicateTo(tx, distributionId, []));
  await assert.rejects(finishReplication(db, FRA, key), refusesWith('NAME_UNKNOWN'));
  await db.transaction((tx) => replicateTo(tx, distributionId, [siteId]));

  await assert.rejects(finishReplication(db, FRA, key), refusesWith('FENCED'));
  assert.equal(row.state, 'started');
});

test('a late result changes nothing behind a newer attempt, a failure or a cancel', async () => {
  for (const overtake of [
    (fixture: Fixture) => start(fixture.db, FRA, 1, 300),
    (fixture: Fixture) => recordFailure(fixture.db, FRA, report('SITE_STALLED'), ticketOf(300)),
    (fixture: Fixture) => applyCommand(fixture.db, FRA, { want: 'cancel' }, ticketOf(300)),
  ]) {
    const fixture = await captured();
    await start(fixture.db, FRA, 1, 200);
    await serve(fixture, 1);
    await overtake(fixture);
    const before = await rowOf(fixture, FRA);

    await assert.rejects(finish(fixture.db, FRA, 200), refusesWith('FENCED'));

    assert.deepEqual(await rowOf(fixture, FRA), before);
  }
});

test('a failed lane waits longer each time, is unpinned, and its incident is counted', async () => {
  const fixture = await captured();
  await start(fixture.db, FRA, 1, 100);

  const first = await recordFailure(fixture.db, FRA, report('SITE_UNREACHABLE'), ticketOf(110));
  await start(fixture.db, FRA, 1, 200);
  const second = await recordFailure(fixture.db, FRA, report('SITE_UNREACHABLE'), ticketOf(210));

  assert.deepEqual(facts(first!), {
    state: 'failed',
    pinned: null,
    retryCount: 1,
    code: 'SITE_UNREACHABLE',
  });
  assert.equal(second!.retryCount, 2);
  assert.ok(second!.retryAt! - Date.now() > 15_000);
  assert.equal(second!.distributionStatus, 'pending');
  assert.deepEqual(await openIncidents(fixture), [{ code: 'SITE_UNREACHABLE', times: 2 }]);
});

test('Retry-After is waited out', async () => {
  const fixture = await captured();

  const row = await recordFailure(
    fixture.db,
    FRA,
    report('SITE_THROTTLED', { retryAfterMs: 1_800_000 }),
    ticketOf(110),
  );

  assert.ok(row!.retryAt! - Date.now() > 1_700_000);
});

test('what needs a person parks the lane and fails the distribution until retry', async () => {
  const fixture = await captured();

  const parked = await recordFailure(fixture.db, FRA, report('SITE_DENIED'), ticketOf(100));
  const retried = await applyCommand(fixture.db, FRA, { want: 'retry' }, ticketOf(200));

  assert.ok(parked!.retryAt! - Date.now() > LIMITS.parkedMs - LIMITS.parkedSpreadMs - 10_000);
  assert.equal(parked!.distributionStatus, 'failed');
  assert.deepEqual(facts(retried!), { state: 'pending', pinned: null, retryCount: 0, code: null });
  assert.equal(retried!.distributionStatus, 'pending');
});

test('a publication that opens while a failure or a cancel waits stays pinned', async () => {
  for (const overtake of [
    (fixture: Fixture) => recordFailure(fixture.db, FRA, report('STALLED'), ticketOf(300)),
    (fixture: Fixture) => applyCommand(fixture.db, FRA, { want: 'cancel' }, ticketOf(300)),
  ]) {
    const fixture = await captured();
    await start(fixture.db, FRA, 1, 200);
    const waits = async () =>
      (
        await sql`select from pg_stat_activity where wait_event_type = 'Lock'`.execute(
          fixture.db.read.kysely,
        )
      ).rows.length > 0;

    const session = await connectDatabase(fixture.db.orm.config.get('clientUrl')!);
    const overtaken = await session.read.kysely.transaction().execute(async (tx) => {
      await sql`select from distribution_replications for no key update`.execute(tx);
      const waiting = overtake(fixture);
      while (!(await waits())) await new Promise(setImmediate);
      await sql`insert into publications (distribution_id, site_id, generation, fence, replaces)
        select distribution_id, site_id, 1, fence, '{}' from distribution_replications`.execute(tx);
      return { waiting };
    });
    const row = await overtaken.waiting;
    await session.close();

    assert.deepEqual([row!.publishing, row!.pinned], [true, 1]);
    assert.notEqual(row!.state, 'cancelled');
  }
});

test('SUPERSEDED goes on to the newer generation, or is a failure without one', async () => {
  const fixture = await captured();
  await start(fixture.db, FRA, 1, 100);

  const alone = await recordFailure(fixture.db, FRA, report('SUPERSEDED'), ticketOf(110));
  await start(fixture.db, FRA, 1, 200);
  await capture(fixture, 2);
  const newer = await recordFailure(fixture.db, FRA, report('SUPERSEDED'), ticketOf(210));

  assert.equal(alone!.state, 'failed');
  assert.deepEqual(facts(newer!), {
    state: 'pending',
    pinned: null,
    retryCount: 1,
    code: null,
  });
  assert.deepEqual(await openIncidents(fixture), []);
});

test('an open publication keeps its generation pinned, whatever happens', async () => {
  const fixture = await captured();
  await start(fixture.db, FRA, 1, 100);
  await openPublication(fixture, 1);

  const rows = [
    await recordFailure(fixture.db, FRA, report('SITE_STALLED'), ticketOf(110)),
    await applyCommand(fixture.db, FRA, { want: 'cancel' }, ticketOf(120)),
    await applyCommand(fixture.db, FRA, { paused: true }, ticketOf(130)),
  ];
  await capture(fixture, 2);
  rows.push(await rowOf(fixture, FRA));

  for (const row of rows) assert.deepEqual([row!.pinned, row!.publishing], [1, true]);
});

test('a cancel while a publication is open takes effect behind it', async () => {
  const fixture = await captured(['fra'], 2);
  await sql`update distribution_replications set pinned_generation = 1`.execute(
    fixture.db.read.kysely,
  );
  await start(fixture.db, FRA, 1, 100);
  await openPublication(fixture, 1);

  const cancelled = await applyCommand(fixture.db, FRA, { want: 'cancel' }, ticketOf(110));
  await start(fixture.db, FRA, 1, 200);
  await serve(fixture, 1);
  const finished = await finish(fixture.db, FRA, 200);

  assert.equal(cancelled!.state, 'started');
  assert.deepEqual([finished.state, finished.served, finished.pinned], ['cancelled', 1, null]);
  await assert.rejects(start(fixture.db, FRA, 2, 300), refusesWith('CANCELLED'));
});

test('a lane finishes only what is served, behind an ended publication', async () => {
  const fixture = await captured();
  await start(fixture.db, FRA, 1, 100);

  await assert.rejects(finish(fixture.db, FRA, 100), refusesWith('FENCED'), 'nothing is served');
  await openPublication(fixture, 1);
  await sql`update distribution_replications set served_generation = 1`.execute(
    fixture.db.read.kysely,
  );
  await assert.rejects(
    finish(fixture.db, FRA, 100),
    refusesWith('FENCED'),
    'the publication is open',
  );
  await serve(fixture, 1);

  assert.equal((await finish(fixture.db, FRA, 100)).state, 'synced');
});

test('a finished lane is pending where a newer generation waits; incidents end', async () => {
  const fixture = await captured();
  await recordFailure(fixture.db, FRA, report('SITE_STALLED'), ticketOf(50));
  await start(fixture.db, FRA, 1, 100);
  await capture(fixture, 2);
  await serve(fixture, 1);

  const row = await finish(fixture.db, FRA, 100);

  assert.deepEqual(
    [...Object.values(facts(row)), row.served, row.target],
    ['pending', null, 0, null, 1, 2],
  );
  assert.deepEqual(await openIncidents(fixture), []);
});

test('verify is done by the chain that read behind it, not by the one under way', async () => {
  const fixture = await captured();
  await start(fixture.db, FRA, 1, 100);
  await applyCommand(fixture.db, FRA, { verify: true }, ticketOf(110));
  await serve(fixture, 1);

  const underWay = await finish(fixture.db, FRA, 100);
  await start(fixture.db, FRA, 1, 200, { takesVerify: true });
  const behind = await finish(fixture.db, FRA, 200);

  assert.notEqual(underWay.verifyRequestedAt, null);
  assert.equal(behind.verifyRequestedAt, null);
});

test('verify is taken up by the attempt that holds the fence, and by no other', async () => {
  const fixture = await captured();
  await applyCommand(fixture.db, FRA, { verify: true }, ticketOf(50));
  await start(fixture.db, FRA, 1, 200);

  assert.ok('stale' in (await begin(fixture.db, FRA, 1, 100, { takesVerify: true })));
  assert.equal(await takenAt(fixture), null);
  const { row } = await start(fixture.db, FRA, 1, 300, { takesVerify: true });

  assert.notEqual(row.verifyRequestedAt, null);
  assert.notEqual(await takenAt(fixture), null);
});

for (const seed of [1, 2, 3])
  test(`verify is answered by the first chain that read behind it (seed ${seed})`, async () => {
    const fixture = await captured();
    const { db } = fixture;
    await serve(fixture, 1);
    const random = seeded(seed);
    /**
     * The tick at which each was asked, and the clock that the asker waits for, as `debgeo verify
     * --wait` does.
     */
    const waiting = new Set<{ readonly asked: number; readonly clock: number }>();
    let [tick, attempt, readingSince, answered] = [0, 0, null as number | null, 0];
    const ask = async (): Promise<void> => {
      const before = await readDatabaseClock(db);
      // another millisecond than whatever was asked before
      while ((await readDatabaseClock(db)) === before);
      waiting.add({ asked: tick, clock: await readDatabaseClock(db) });
      await applyCommand(db, FRA, { verify: true }, ticketOf(0));
    };
    const chain = async (asks: () => boolean, fails: boolean): Promise<void> => {
      const maybeAsk = async (): Promise<void> => (asks() ? ask() : undefined);
      await start(db, FRA, 1, (attempt += 10));
      await maybeAsk();
      for (let slices = 0; slices < 3; slices += 1) {
        tick += 1;
        const { row } = await start(db, FRA, 1, (attempt += 10), { takesVerify: true });
        if (row.verifyRequestedAt !== null) readingSince ??= tick;
        tick += 1;
        await maybeAsk();
        // an order sends the chain back to its first step
        if (readingSince === null && waiting.size > 0) slices = 0;
      }
      if (fails)
        return void (await recordFailure(
          db,
          FRA,
          report('SITE_STALLED'),
          ticketOf((attempt += 10)),
        ));
      await finish(db, FRA, attempt);
      const toldAt = await answeredAt(fixture);
      for (const request of waiting) {
        const { asked, clock } = request;
        const isAnswered = toldAt !== null && toldAt >= clock;
        assert.equal(
          isAnswered,
          readingSince !== null && asked < readingSince,
          `asked at ${asked}, read since ${readingSince}`,
        );
        if (isAnswered) answered += Number(waiting.delete(request));
      }
      readingSince = null;
    };

    await ask();
    for (let chains = 0; chains < 12; chains += 1)
      await chain(() => random() < 0.5, random() < 0.3);
    await chain(() => false, false);
    await chain(() => false, false);

    assert.equal(waiting.size, 0);
    assert.ok(answered > 10);
    assert.equal((await rowOf(fixture, FRA)).verifyRequestedAt, null);
  });

const takenAt = async ({ db }: Fixture): Promise<number | null> =>
  (
    await sql<{
      at: number | null;
    }>`select ${ms('verify_taken_at')} as at from distribution_replications`.execute(db.read.kysely)
  ).rows[0]!.at;

const answeredAt = async ({ db }: Fixture): Promise<number | null> =>
  (
    await sql<{
      at: number | null;
    }>`select ${ms('verify_answered_at')} as at from distribution_replications`.execute(
      db.read.kysely,
    )
  ).rows[0]!.at;

test('lanes that finish together leave success, however they meet', async () => {
  const fixture = await captured(SITES);
  const lanes = SITES.map((site) => ({ distribution: DISTRIBUTION, site }));
  for (const round of [100, 200, 300]) {
    await Promise.all(lanes.map((at) => start(fixture.db, at, 1, round)));
    assert.equal((await loadRoster(fixture.db, DISTRIBUTION)).status, 'pending');
    for (const { site } of lanes) await serve(fixture, 1, site);

    await Promise.all(lanes.map((at) => finish(fixture.db, at, round)));

    assert.equal((await loadRoster(fixture.db, DISTRIBUTION)).status, 'success');
  }
});

test('success needs an enabled site, and asks no disabled one', async () => {
  const fixture = await captured(['fra', 'sin']);
  await start(fixture.db, FRA, 1, 100);
  await serve(fixture, 1);

  const one = await finish(fixture.db, FRA, 100);
  await sql`update replication_sites set enabled = false where name = 'sin'`.execute(
    fixture.db.read.kysely,
  );
  const alone = await recordLook(fixture.db, DISTRIBUTION, {
    validator: NO_VALIDATOR,
    unconditional: true,
    signatures: [],
  });
  await sql`update replication_sites set enabled = false`.execute(fixture.db.read.kysely);
  const none = await recordLook(fixture.db, DISTRIBUTION, {
    validator: NO_VALIDATOR,
    unconditional: true,
    signatures: [],
  });

  assert.equal(one.distributionStatus, 'pending');
  assert.deepEqual(
    [alone.status, alone.replications.map(({ site }) => site)],
    ['success', ['fra']],
  );
  assert.deepEqual([none.status, none.replications], ['pending', []]);
});

test('a newer generation makes synced and cancelled lanes pending, and no other', async () => {
  const fixture = await captured(SITES);
  const states = ['synced', 'cancelled', 'failed', 'started', 'pending'];
  for (const [i, site] of SITES.entries())
    await sql`update distribution_replications
              set state = ${states[i]}, retry_count = 3, paused = ${site === 'gru'}
              where site_id = (select id from replication_sites where name = ${site})`.execute(
      fixture.db.read.kysely,
    );

  await capture(fixture, 2);

  const rows = await Promise.all(
    SITES.map((site) => rowOf(fixture, { distribution: DISTRIBUTION, site })),
  );
  assert.deepEqual(
    rows.map((row) => [row!.state, row!.target, row!.retryCount, row!.paused]),
    ['pending', 'pending', 'failed', 'started', 'pending'].map((state, i) => [
      state,
      2,
      3,
      i === 4,
    ]),
  );
});

test('a refused release fails the distribution, an unreachable archive does not', async () => {
  const fixture = await captured();

  const unreachable = await recordCaptureFailure(
    fixture.db,
    DISTRIBUTION,
    report('ARCHIVE_UNREACHABLE'),
  );
  const refused = await recordCaptureFailure(fixture.db, DISTRIBUTION, report('RELEASE_EXPIRED'));
  const incidents = await openIncidents(fixture);
  const fine = await recordLook(fixture.db, DISTRIBUTION, {
    validator: NO_VALIDATOR,
    unconditional: false,
    signatures: [],
  });

  assert.deepEqual([unreachable.status, unreachable.code], ['pending', 'ARCHIVE_UNREACHABLE']);
  assert.deepEqual([refused.status, refused.code], ['failed', 'RELEASE_EXPIRED']);
  assert.ok(unreachable.nextLookAt < Date.now() + 600_000);
  assert.deepEqual(
    incidents.map(({ code }) => code),
    ['ARCHIVE_UNREACHABLE', 'RELEASE_EXPIRED'],
  );
  assert.deepEqual([fine.status, fine.code, await openIncidents(fixture)], ['pending', null, []]);
  assert.ok(fine.rev > refused.rev && refused.rev > unreachable.rev);
});

test('the next look is no later than the poll interval, and never before Retry-After', async () => {
  const fixture = await captured();
  await sql`update debian_distributions set failure_count = 50`.execute(fixture.db.read.kysely);

  const soon = await recordCaptureFailure(fixture.db, DISTRIBUTION, report('ARCHIVE_UNREACHABLE'));
  const told = await recordCaptureFailure(
    fixture.db,
    DISTRIBUTION,
    report('ARCHIVE_THROTTLED', { retryAfterMs: 1_800_000 }),
  );

  assert.ok(soon.nextLookAt <= Date.now() + 600_000);
  assert.ok(told.nextLookAt > Date.now() + 1_700_000);
});

test('tuning overrides the waits, one by one', async () => {
  const fixture = await aDistribution({
    sites: ['fra'],
    tuning: { gatherMs: 5, backoffInitialMs: 1, backoffCapMs: 20 },
  });
  fixtures.push(fixture);

  const failed = await recordFailure(fixture.db, FRA, report('SITE_STALLED'), ticketOf(100));
  const roster = await loadRoster(fixture.db, DISTRIBUTION);

  assert.ok(failed!.retryAt! <= Date.now() + 20);
  const ofOneLane = 1_100;
  assert.deepEqual(roster.tuning, {
    gatherMs: 5,
    drainMs: 60_000,
    historyEventsMax: ofOneLane,
  });
});

test('the roster of a distribution that was removed, or never was, has no lanes', async () => {
  const fixture = await captured();
  const before = await loadRoster(fixture.db, DISTRIBUTION);
  await sql`update debian_distributions set removed = true`.execute(fixture.db.read.kysely);

  const removed = await loadRoster(fixture.db, DISTRIBUTION);
  await sql`delete from debian_distributions`.execute(fixture.db.read.kysely);
  const gone = await loadRoster(fixture.db, DISTRIBUTION);

  assert.deepEqual([before.removed, before.replications.length], [false, 1]);
  for (const roster of [removed, gone])
    assert.deepEqual([roster.removed, roster.replications], [true, []]);
  assert.ok(gone.rev > removed.rev && removed.rev > before.rev);
  assert.equal(await recordFailure(fixture.db, FRA, report('SITE_STALLED'), ticketOf(100)), null);
  assert.equal(await applyCommand(fixture.db, FRA, { paused: true }, ticketOf(100)), null);
});
