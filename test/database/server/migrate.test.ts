import assert from 'node:assert/strict';
import { test } from 'node:test';

import { sql } from 'kysely';

import { connectDatabase } from '../../../src/database/orm.ts';
import { assertMigrated, migrate } from '../../../src/database/server/migrate.ts';
import { all, run } from '../../../src/database/sql.ts';
import type { DebgeoError } from '../../../src/domain/errors.ts';
import { refusesWith } from '../../support/refuses-with.ts';
import { freshDatabase, migratedDatabase } from '../../support/servers.ts';

test('four callers side by side apply every migration exactly once', async () => {
  const url = await freshDatabase();
  const starters = await Promise.all([1, 2, 3, 4].map(() => connectDatabase(url)));

  const applied = await Promise.all(starters.map((db) => migrate(db)));

  const rows = await all(
    starters[0]!.read,
    sql<{ name: string }>`select name from mikro_orm_migrations`,
  );
  assert.ok(rows.length > 0);
  assert.deepEqual(
    applied.flat(),
    rows.map((row) => row.name),
  );
  await Promise.all(starters.map((db) => db.close()));
});

test('a database without the tables of this version is refused', async () => {
  const [empty, migrated] = [
    await connectDatabase(await freshDatabase()),
    await connectDatabase(await migratedDatabase()),
  ];

  await assert.rejects(assertMigrated(empty), refusesWith('SCHEMA_OUTDATED'));
  await assertMigrated(migrated);

  await Promise.all([empty.close(), migrated.close()]);
});

test('a database that a newer version has migrated is refused, and left as it is', async () => {
  const db = await connectDatabase(await migratedDatabase());
  await run(db.read, sql`insert into mikro_orm_migrations (name) values ('2099-01-01-later')`);

  await assert.rejects(
    assertMigrated(db),
    refusesWith('SCHEMA_NEWER', { found: /2099-01-01-later/ }),
  );

  await db.close();
});

test('a server that is not there is DATABASE_UNREACHABLE, without the password', async () => {
  const error = await connectDatabase('postgresql://app:s3cret@127.0.0.1:1/debgeo').catch(
    (caught: unknown) => caught,
  );

  assert.ok(refusesWith('DATABASE_UNREACHABLE')(error));
  assert.ok(!JSON.stringify((error as DebgeoError).report).includes('s3cret'));
});

test('entities and migrated tables have the same columns, of the same types', async () => {
  const db = await connectDatabase(await migratedDatabase());
  const rows = await all(
    db.read,
    sql<{ table: string; column: string; type: string; nullable: boolean }>`
      select table_name as "table",
        column_name as "column",
        case when data_type = 'ARRAY' then 'text[]' else udt_name end as type,
        is_nullable = 'YES' as nullable
      from information_schema.columns
      where table_schema = 'public'`,
  );
  const names: Record<string, string> = {
    int: 'int4',
    serial: 'int4',
    bigint: 'int8',
    bigserial: 'int8',
    boolean: 'bool',
  };

  for (const meta of db.orm.getMetadata().getAll().values()) {
    const mapped = Object.values(meta.properties).flatMap((property) =>
      property.fieldNames.map((column, i) => {
        const type = property.columnTypes[i]!;
        return `${column} ${names[type] ?? type} ${property.nullable === true}`;
      }),
    );
    const migrated = rows
      .filter((row) => row.table === meta.tableName)
      .map((row) => `${row.column} ${row.type} ${row.nullable}`);
    assert.ok(migrated.length > 0, meta.tableName);
    assert.deepEqual(mapped.sort(), migrated.sort(), meta.tableName);
  }
  await db.close();
});
