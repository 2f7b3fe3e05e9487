/** Opens what a command needs and closes it again, whatever happens in between. */
import type { Client } from '@temporalio/client';
import { loadConfig, type Config } from '../config.ts';
import { assertMigrated } from '../database/migrate.ts';
import { connectDatabase, type Database } from '../database/orm.ts';
import { connectTemporal } from '../temporal.ts';

export interface Options {
  readonly demo?: boolean;
  readonly dev?: boolean;
}

export const configOf = (options: Options): Config => loadConfig(options.demo ? 'demo' : options.dev ? 'dev' : null);

export const withDatabase = async <T>(options: Options, work: (database: Database) => Promise<T>): Promise<T> => {
  const database = await connectDatabase(configOf(options).databaseUrl);
  try {
    await assertMigrated(database);
    return await work(database);
  } finally {
    await database.close();
  }
};

export const withTemporal = async <T>(options: Options, work: (client: Client) => Promise<T>): Promise<T> => {
  const client = await connectTemporal(configOf(options).temporal);
  try {
    return await work(client);
  } finally {
    await client.connection.close();
  }
};
