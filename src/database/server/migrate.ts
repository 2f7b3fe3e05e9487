/** The migrations: applied by `migrate`, asked for by every other command and by the worker. */
import { sql } from 'kysely';

import { DebgeoError } from '../../domain/errors.ts';
import { MIGRATIONS } from '../migrations/index.ts';
import { type Database } from '../orm.ts';
import { all, one } from '../sql.ts';

/** Far beyond the ids of archives, which are advisory locks too. */
const MIGRATION_LOCK = 7_270_010_000_000;

/**
 * Applies what is missing, in one transaction. Concurrent callers wait for each other; the migrator
 * takes no lock itself. The transaction is the entity manager's, because the migrator sets
 * savepoints in it.
 * @returns the names of the migrations that were applied
 */
export function migrate(db: Database): Promise<string[]> {
  return db.orm.em.fork().transactional(async (em) => {
    await em.execute(`select pg_advisory_xact_lock(${MIGRATION_LOCK}::bigint)`);
    const applied = await db.orm.migrator.up({ transaction: em.getTransactionContext()! });
    return applied.map((migration) => migration.name);
  });
}

/**
 * @throws SCHEMA_OUTDATED  a migration of this version is not applied
 * @throws SCHEMA_NEWER  a migration is applied that this version does not know: what it means for
 *   the tables, only a newer version can say
 */
export async function assertMigrated(db: Database): Promise<void> {
  const { read } = db;
  const table = await one(
    read,
    sql<{ found: boolean }>`select to_regclass('mikro_orm_migrations') is not null as found`,
  );
  const applied = table?.found
    ? await all(read, sql<{ name: string }>`select name from mikro_orm_migrations`)
    : [];
  const names = new Set(applied.map((row) => row.name));
  const missing = MIGRATIONS.filter((migration) => !names.has(migration.name));
  const unknown = [...names].filter((name) => MIGRATIONS.every((known) => known.name !== name));
  if (unknown.length > 0)
    throw new DebgeoError('SCHEMA_NEWER', 'the database has tables of a newer version', {
      expected: `migrations up to ${MIGRATIONS.at(-1)!.name}`,
      found: `${unknown.join(', ')} besides`,
      state: 'nothing was changed',
    });
  if (missing.length === 0) return;
  throw new DebgeoError('SCHEMA_OUTDATED', 'the database lacks tables of this version', {
    expected: missing.map((migration) => migration.name).join(', '),
    found: applied.length === 0 ? 'no migration applied' : `${applied.length} applied`,
  });
}
