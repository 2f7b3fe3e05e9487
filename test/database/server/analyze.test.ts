import assert from 'node:assert/strict';
import { test } from 'node:test';

import { sql } from 'kysely';

import { connectDatabase } from '../../../src/database/orm.ts';
import { analyzeGrown } from '../../../src/database/server/analyze.ts';
import { one, run } from '../../../src/database/sql.ts';
import { migratedDatabase } from '../../support/servers.ts';

test(
  'tables that grew have statistics at once; one that is being vacuumed is not waited for',
  { timeout: 20_000 },
  async (t) => {
    const db = await connectDatabase(await migratedDatabase());
    t.after(() => db.close());
    const rowsKnown = async (): Promise<number> => {
      const table = await one(
        db.read,
        sql<{ rows: number }>`
          select reltuples::int as rows
          from pg_class
          where relname = 'paths'`,
      );
      return table!.rows;
    };
    await run(
      db.read,
      sql`
        insert into archives (name, url, mount, keyring)
        values ('a', 'http://a.example/', 'debian', '')`,
    );
    await run(
      db.read,
      sql`
        insert into paths (archive_id, path)
        select a.id, 'pool/' || n
        from archives a, generate_series(1, 5000) n`,
    );

    await db.transaction(async (tx) => {
      await run(tx, sql`lock table paths in share update exclusive mode`);
      await analyzeGrown(db, ['paths']);
    });
    assert.ok((await rowsKnown()) < 5000);

    await analyzeGrown(db, ['paths']);
    assert.equal(await rowsKnown(), 5000);
  },
);
