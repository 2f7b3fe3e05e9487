import assert from 'node:assert/strict';
import { test } from 'node:test';

import { sql } from 'kysely';

import { connectDatabase, type Database } from '../../src/database/orm.ts';
import { migratedDatabase } from '../support/servers.ts';

const SLOTS = 2;

/**
 * Ends all other connections to the database, as a restart of the server does, once `busy` of them
 * run a statement.
 */
async function cut(db: Database, busy: number): Promise<void> {
  const others = sql`from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`;
  const deadline = Date.now() + 10_000;
  const isBusy = async () =>
    (await sql`select ${others} and wait_event = 'PgSleep'`.execute(db.read.kysely)).rows.length >=
    busy;
  while (!(await isBusy()) && Date.now() < deadline);
  await sql`select pg_terminate_backend(pid) ${others}`.execute(db.read.kysely);
}

test('connections that are lost inside of transactions leave no slot of the pool taken', async (t) => {
  const url = await migratedDatabase();
  const [db, operator] = [
    await connectDatabase(url, { poolMax: SLOTS }),
    await connectDatabase(url),
  ];
  t.after(() => Promise.all([db.close(), operator.close()]));
  const sleep = () => db.transaction((tx) => sql`select pg_sleep(60)`.execute(tx.kysely));

  const lost = Promise.allSettled(Array.from({ length: SLOTS }, sleep));
  await cut(operator, SLOTS);
  const outcomes = (await lost).map(({ status }) => status);

  assert.deepEqual(outcomes, ['rejected', 'rejected']);
  const { rows } = await db.transaction((tx) =>
    sql<{ one: number }>`select 1 as one`.execute(tx.kysely),
  );
  assert.deepEqual(rows, [{ one: 1 }]);
});
