/**
 * Backups of the database of debgeo alone, on its own server: copies of its files
 * (`create database … template …`), as of one moment. Temporal's database stays as it is.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { sql } from 'kysely';

import { connectDatabase, type Database } from '../../src/database/orm.ts';
import { run } from '../../src/database/sql.ts';

export interface Backup {
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

const KEPT = 4;
const TRIES = 40;
const DEBGEO = 'debgeo';

export class Backups {
  readonly #urlOf: () => string;
  #taken: Backup[] = [];
  #count = 0;

  constructor(urlOf: () => string) {
    this.#urlOf = urlOf;
  }

  /** The oldest that is kept. */
  get oldest(): Backup | undefined {
    return this.#taken[0];
  }

  async take(): Promise<Backup> {
    const name = `backup_${(this.#count += 1)}`;
    const backup = { name, at: Date.now() };
    await this.#onServer((server) => copy(server, DEBGEO, name));
    this.#taken.push(backup);
    const old = this.#taken.length > KEPT ? this.#taken.shift() : undefined;
    if (old !== undefined)
      await this.#onServer((server) =>
        run(server.read, sql`drop database ${sql.id(old.name)} with (force)`),
      );
    return backup;
  }

  /**
   * The database is as it was. A backup is restored once, as is every one that is older: a second
   * time its sites know that it was restored before, and leave it to a person.
   */
  async restore(backup: Backup): Promise<void> {
    await this.#onServer(async (server) => {
      await run(server.read, sql`drop database if exists ${sql.id(DEBGEO)} with (force)`);
      await copy(server, backup.name, DEBGEO);
      for (const { name } of this.#taken)
        await run(server.read, sql`drop database ${sql.id(name)} with (force)`);
    });
    this.#taken = [];
  }

  async #onServer<T>(work: (server: Database) => Promise<T>): Promise<T> {
    const url = new URL(this.#urlOf());
    url.pathname = '/postgres';
    const server = await connectDatabase(url.href);
    try {
      return await work(server);
    } finally {
      await server.close();
    }
  }
}

/** PostgreSQL copies a database to which there is no connection: all are ended, and open anew. */
async function copy(server: Database, from: string, to: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await run(
        server.read,
        sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = ${from}`,
      );
      await run(server.read, sql`create database ${sql.id(to)} template ${sql.id(from)}`);
      return;
    } catch (error) {
      if (attempt === TRIES) throw error;
      await sleep(25);
    }
  }
}
