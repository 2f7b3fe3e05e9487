/**
 * What archives and sites say is stored, whatever it is, by every function that records it; and
 * what is stored is printable. PostgreSQL refuses NUL, and half of a surrogate pair in JSON.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { ApplicationFailure } from '@temporalio/activity';
import { sql } from 'kysely';

import { failureOf } from '../../activities/failure.ts';
import { DebianDistribution } from '../../src/database/entities/debian-distribution.ts';
import { recordEvent, recordIncident } from '../../src/database/incidents.ts';
import type { Database } from '../../src/database/orm.ts';
import { loadPrune, recordPruneFailure } from '../../src/database/prune/prunes.ts';
import { recordFailure } from '../../src/database/replications/failures.ts';
import { recordCaptureFailure, recordLook } from '../../src/database/replications/looks.ts';
import { recordScrubFailure } from '../../src/database/scrub/scrubs.ts';
import { all, one } from '../../src/database/sql.ts';
import { readStatus } from '../../src/database/views/status.ts';
import type { ErrorReport } from '../../src/domain/errors.ts';
import { assertPrintable, HOSTILE_STRINGS, NO_STRINGS } from '../support/hostile-strings.ts';
import { aDistribution, DISTRIBUTION, NO_VALIDATOR } from './distribution-fixture.ts';

const AT = { distribution: DISTRIBUTION, site: 'fra' };
const TABLES = [
  'debian_distributions',
  'distribution_replications',
  'distribution_events',
  'incidents',
  'prunes',
  'scrubs',
];

let db: Database;
let distributionId: number;
let siteId: number;
before(async () => {
  ({ db, distributionId } = await aDistribution({ sites: ['fra'] }));
  siteId = (await one(db.read, sql<{ id: number }>`select id from replication_sites`))!.id;
  await loadPrune(db, 'fra');
});
after(() => db.close());

/** Each function that puts on record what others said. */
const RECORD: Readonly<Record<string, (report: ErrorReport) => Promise<unknown>>> = {
  recordCaptureFailure: (report) => recordCaptureFailure(db, DISTRIBUTION, report),
  recordFailure: (report) => recordFailure(db, AT, report, null),
  recordPruneFailure: (report) => recordPruneFailure(db, 'fra', report, null),
  recordScrubFailure: (report) => recordScrubFailure(db, 'fra', report, null),
  recordIncident: (report) =>
    db.transaction((tx) => recordIncident(tx, { distributionId, siteId, report })),
  recordEvent: ({ message, found }) =>
    db.transaction((tx) =>
      recordEvent(tx, {
        distributionId,
        what: 'captured',
        facts: { message, deep: [{ found }], ...(typeof found === 'string' && { [found]: 1 }) },
      }),
    ),
};

const reportOf = (text: unknown): ErrorReport => ({
  code: 'SIGNATURE_MALFORMED',
  message: text as string,
  expected: text as string,
  found: text as string,
  state: text as string,
});

async function assertRowsPrintable(): Promise<void> {
  for (const table of TABLES) {
    const rows = await all(
      db.read,
      sql<{ row: object }>`select to_jsonb(t) as row from ${sql.table(table)} t`,
    );
    assert.ok(rows.length > 0, `${table} is empty`);
    assertPrintable(rows, table);
  }
}

for (const [name, record] of Object.entries(RECORD))
  describe(name, () => {
    for (const [what, text] of Object.entries(HOSTILE_STRINGS))
      test(`stores ${what}`, async () => {
        await record(reportOf(text));
      });

    test('stores what is no text', async () => {
      for (const value of NO_STRINGS) await record(reportOf(value));
    });
  });

test('every row that was written is printable, and bounded', async () => {
  await recordLook(db, DISTRIBUTION, {
    validator: NO_VALIDATOR,
    unconditional: true,
    signatures: [],
  });
  for (const record of Object.values(RECORD))
    for (const text of Object.values(HOSTILE_STRINGS)) await record(reportOf(text));
  await assertRowsPrintable();
  assertPrintable(await readStatus(db, undefined), 'status');
});

test('it would be seen if a record kept what it was given', async () => {
  await sql`update incidents set found = ${'\u009b2J'}`.execute(db.read.kysely);
  await assert.rejects(assertRowsPrintable, /incidents: .*\u009b2J/);
});

test('what PostgreSQL refuses is DATABASE_REFUSED, by Kysely and by MikroORM', async () => {
  const { em } = db.read;
  const half = { failure: { code: 'UNKNOWN', message: '\ud800' } } as never;
  const nul = { failure: { code: 'UNKNOWN', message: '\u0000' } } as never;
  const refused: readonly (() => Promise<unknown>)[] = [
    () => sql`select ${'{"a": "\\ud800"}'}::jsonb`.execute(db.read.kysely),
    () => sql`select ${'\u0000'}::text`.execute(db.read.kysely),
    () => em.nativeUpdate(DebianDistribution, { id: distributionId }, half),
    () => em.nativeUpdate(DebianDistribution, { id: distributionId }, nul),
    () => em.nativeUpdate(DebianDistribution, { id: distributionId }, { suite: '\u0000' }),
    () => db.transaction((tx) => tx.em.nativeUpdate(DebianDistribution, { id: 1 }, half)),
  ];
  for (const write of refused) {
    const error = await write().catch((thrown: unknown) => thrown);
    const failure = failureOf(error, new AbortController().signal);
    assert.ok(failure instanceof ApplicationFailure, String(error));
    assert.deepEqual([failure.type, failure.nonRetryable], ['DATABASE_REFUSED', true]);
  }
});
