/** A PostgreSQL of the soak alone, in a folder that goes with it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { sql } from 'kysely';

import { connectDatabase } from '../../src/database/orm.ts';
import { migrate } from '../../src/database/server/migrate.ts';
import { run } from '../../src/database/sql.ts';
import { freePort } from '../../src/stack/free-port.ts';
import { startPostgres } from '../../src/stack/postgres.ts';
import { untilReady } from '../../src/stack/server-process.ts';

/** @returns the URLs of so many databases with all tables */
export async function ownPostgres(
  databases: number,
): Promise<{ readonly urls: readonly string[]; stop(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'debgeo-model-'));
  const port = await freePort(null, new Set());
  const { server, url } = await startPostgres({ folder, port, durable: false });
  await untilReady(server, new AbortController().signal);
  const urls: string[] = [];
  const first = await connectDatabase(url);
  for (let index = 0; index < databases; index += 1) {
    const name = `model_${index}`;
    await run(first.read, sql`create database ${sql.id(name)}`);
    const own = new URL(url);
    own.pathname = `/${name}`;
    const database = await connectDatabase(own.href);
    await migrate(database);
    await database.close();
    urls.push(own.href);
  }
  await first.close();
  return {
    urls,
    stop: async () => {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
