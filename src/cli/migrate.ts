/** `debgeo migrate`: brings the tables to this version. Several may run at once. */
import { migrate as migrateDatabase } from '../database/server/migrate.ts';
import { openDatabase, type Options } from './connect.ts';
import { print } from './terminal.ts';

export async function migrate(options: Options): Promise<number> {
  const database = await openDatabase(options);
  try {
    const applied = await migrateDatabase(database);
    print(
      applied.length === 0
        ? 'nothing to do: the tables are at this version'
        : applied.map((name) => `applied ${name}`).join('\n'),
    );
    return 0;
  } finally {
    await database.close();
  }
}
