import assert from 'node:assert/strict';
import { test } from 'node:test';

import { sql } from 'kysely';

import { connectDatabase } from '../../../src/database/orm.ts';
import { analyzeGrown } from '../../../src/database/server/analyze.ts';
import { migratedDatabase } from '../../support/servers.ts';

test(
  'tables that grew have statistics at once; one that is being vacuumed is not waited for',
  { timeout: 20_000 },
  async (t) => {
    const db = await connectDatabase(await migratedDatabase());
    t.after(() => db.close());
    const rowsKnown = async (): Promise<number> =>
      (
        await sql<{
          rows: number;
        }>`select reltuples::int as rows from pg_class where relname = 'paths'`.execute(
          db.read.kysely,
        )
      ).rows[0]!.rows;
    await sql`insert into archives (name, url, mount, keyring) values ('a', 'http://a.example/', 'debian', '')`.execute(
      db.read.kysely,
    );
    await sql`insert into paths (archive_id, path) select a.id, 'pool/' || n from archives a, generate_series(1, 5000) n`.execute(
      db.read.kysely,
    );

    await db.transaction(async (tx) => {
      await sql`lock table paths in share update exclusive mode`.execute(tx.kysely);
      await analyzeGrown(db, ['paths']);
    });
    assert.ok((await rowsKnown()) < 5000);

    await analyzeGrown(db, ['paths']);
    assert.equal(await rowsKnown(), 5000);
  },
);
