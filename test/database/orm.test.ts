import assert from 'node:assert/strict';
import { test } from 'node:test';

import { sql } from 'kysely';

import { Archive } from '../../src/database/entities/archive.ts';
import { connectDatabase, type Database, type Tx } from '../../src/database/orm.ts';
import { migratedDatabase } from '../support/servers.ts';

const SLOTS = 2;

/**
 * Ends all other connections to the database, as a restart of the server does, once `busy` of them
 * run a statement.
 */
async function cut(db: Database, busy: number): Promise<void> {
  const others = sql`from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()`;
  const deadline = Date.now() + 10_000;
  const isBusy = async () =>
    (await sql`select ${others} and wait_event = 'PgSleep'`.execute(db.read.kysely)).rows.length >=
    busy;
  while (!(await isBusy()) && Date.now() < deadline);
  await sql`select pg_terminate_backend(pid) ${others}`.execute(db.read.kysely);
}

test('connections lost inside of transactions leave no slot of the pool taken', async (t) => {
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

const ARCHIVE = { name: 'debian', url: 'http://127.0.0.1:1', mount: 'debian', keyring: null };

test('a transaction whose changed entities are not flushed is rolled back whole', async (t) => {
  const db = await connectDatabase(await migratedDatabase());
  t.after(() => db.close());
  await db.transaction(async ({ em }) => {
    em.create(Archive, ARCHIVE);
    await em.flush();
  });
  const insertAnother = ({ kysely }: Tx) =>
    sql`insert into archives (name, url, mount) values ('another', '', 'another')`.execute(kysely);

  const forgetful: Record<string, (tx: Tx) => Promise<unknown>> = {
    assigned: async ({ em }) =>
      em.assign(await em.findOneOrFail(Archive, { name: 'debian' }), { url: 'file:///' }),
    made: async ({ em }) => em.create(Archive, { ...ARCHIVE, name: 'new', mount: 'new' }),
    removed: async ({ em }) => em.remove(await em.findOneOrFail(Archive, { name: 'debian' })),
  };
  for (const [what, forget] of Object.entries(forgetful))
    await assert.rejects(
      db.transaction(async (tx) => {
        await insertAnother(tx);
        await forget(tx);
      }),
      /not flushed/,
      what,
    );

  const found = await db.read.em.find(Archive, {});
  assert.deepEqual(
    found.map(({ name, url }) => [name, url]),
    [['debian', ARCHIVE.url]],
  );
});
