/** `debgeo migrate`: brings the tables to this version. Several may run at once. */
import { migrate as migrateDatabase } from '../database/server/migrate.ts';
import { openDatabase, type Options } from './connect.ts';

export async function migrate(options: Options): Promise<number> {
  const database = await openDatabase(options);
  try {
    const applied = await migrateDatabase(database);
    process.stdout.write(
      applied.length === 0
        ? 'nothing to do: the tables are at this version\n'
        : applied.map((name) => `applied ${name}\n`).join(''),
    );
    return 0;
  } finally {
    await database.close();
  }
}
