/** Opens the database and the client of Temporal that a command needs, and closes them again. */
import { isGrpcServiceError, type Client } from '@temporalio/client';
import { NamespaceNotFoundError } from '@temporalio/common';

import { connectDatabase, type Database } from '../database/orm.ts';
import { readDatabaseClock } from '../database/server/clock.ts';
import { assertMigrated } from '../database/server/migrate.ts';
import { DebgeoError } from '../domain/errors.ts';
import { loadConfig, type Config } from '../settings/servers.ts';
import { connectTemporal, type TemporalConfig } from '../temporal/connection.ts';

export interface Options {
  readonly demo?: boolean;
  readonly dev?: boolean;
}

export const configOf = (options: Options): Config =>
  loadConfig(options.demo ? 'demo' : options.dev ? 'dev' : null);

export async function openDatabase(options: Options): Promise<Database> {
  try {
    return await connectDatabase(configOf(options).databaseUrl);
  } catch (error) {
    if (
      !(error instanceof DebgeoError) ||
      error.code !== 'DATABASE_UNREACHABLE' ||
      !(options.demo || options.dev)
    )
      throw error;
    throw DebgeoError.of({
      expected: `npm run ${options.demo ? 'demo -- --keep' : 'dev'} in another terminal`,
      ...error.report,
    });
  }
}

export async function withDatabase<T>(
  options: Options,
  work: (database: Database) => Promise<T>,
): Promise<T> {
  const database = await openDatabase(options);
  try {
    await assertMigrated(database);
    return await work(database);
  } catch (error) {
    throw error instanceof DebgeoError || (await isAnswering(database)) ? error : lost(error);
  } finally {
    await database.close();
  }
}

const isAnswering = (database: Database): Promise<boolean> =>
  readDatabaseClock(database).then(
    () => true,
    () => false,
  );

const lost = (cause: unknown): DebgeoError =>
  new DebgeoError(
    'DATABASE_UNREACHABLE',
    'PostgreSQL stopped answering in the middle of the command',
    { found: messageOf(cause), state: 'what was sent to a worker before stays sent' },
    cause,
  );

export async function withTemporal<T>(
  options: Options,
  work: (client: Client) => Promise<T>,
): Promise<T> {
  const { temporal } = configOf(options);
  const client = await connectTemporal(temporal);
  try {
    return await work(client);
  } catch (error) {
    throw error instanceof DebgeoError ? error : refusal(temporal, error);
  } finally {
    await client.connection.close();
  }
}

/** CONFIG_INVALID where the namespace does not exist; any other error stays as it is. */
function refusal({ address, namespace }: TemporalConfig, error: unknown): unknown {
  if (
    error instanceof NamespaceNotFoundError ||
    (isGrpcServiceError(error) && /Namespace .* is not found/.test(error.details))
  )
    return new DebgeoError(
      'CONFIG_INVALID',
      `Temporal at ${address} has no namespace ${namespace}`,
      {
        expected: 'TEMPORAL_NAMESPACE as the worker has it',
        found: namespace,
      },
    );
  return error;
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);
