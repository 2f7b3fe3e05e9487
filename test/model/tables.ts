/**
 * All rows of debgeo at once: as a schedule finds them, as a backup keeps them, and as time passes
 * for them. Copies are tables in schemas of their own, a hundred times as fast as databases.
 */
import { sql } from 'kysely';

import type { Database } from '../../src/database/orm.ts';
import { all } from '../../src/database/sql.ts';

interface Table {
  readonly name: string;
  /** Those that are written, and not generated. */
  readonly columns: readonly string[];
  readonly times: readonly string[];
}

export class Tables {
  readonly #database: Database;
  readonly #tables: readonly Table[];
  readonly #sequences: readonly string[];
  readonly #copies = new Set<string>();

  private constructor(database: Database, tables: readonly Table[], sequences: readonly string[]) {
    this.#database = database;
    this.#tables = tables;
    this.#sequences = sequences;
  }

  static async of(database: Database): Promise<Tables> {
    const tables = await all(
      database.read,
      sql<Table>`
        select table_name as name,
          json_agg(column_name order by ordinal_position)
            filter (where is_generated = 'NEVER') as columns,
          coalesce(
            json_agg(column_name)
              filter (where data_type = 'timestamp with time zone'), '[]') as times
        from information_schema.columns
        join information_schema.tables using (table_schema, table_name)
        where table_schema = 'public'
          and table_type = 'BASE TABLE'
          and table_name not like 'mikro%'
        group by table_name
        order by table_name`,
    );
    const sequences = await all(
      database.read,
      sql<{ name: string }>`
        select sequencename as name from pg_sequences where schemaname = 'public'`,
    );
    return new Tables(
      database,
      tables,
      sequences.map(({ name }) => name),
    );
  }

  /** What the tables hold now is kept under this name. */
  async keep(copy: string): Promise<void> {
    if (!this.#copies.has(copy)) {
      this.#copies.add(copy);
      await this.#run([
        `create schema ${copy}`,
        ...this.#tables.map(({ name }) => `create table ${copy}.${name} (like public.${name})`),
        `create table ${copy}.sequences (name text, value bigint, called boolean)`,
      ]);
    }
    await this.#run([
      `delete from ${copy}.sequences`,
      ...this.#sequences.map(
        (name) =>
          `insert into ${copy}.sequences select '${name}', last_value, is_called from ${name}`,
      ),
      ...this.#tables.flatMap((table) => fill(copy, 'public', table)),
    ]);
  }

  /** The tables hold what they held when that was kept. */
  restore(copy: string): Promise<void> {
    return this.#run([
      ...this.#tables.flatMap((table) => fill('public', copy, table)),
      `select setval(name::regclass, value, called) from ${copy}.sequences`,
    ]);
  }

  /** As if so much time had passed; what is far (`spared_until`) stays so. */
  age(ms: number): Promise<void> {
    return this.#run(
      this.#tables
        .filter(({ times }) => times.length > 0)
        .map(({ name, times }) => {
          const past = times.map(
            (time) =>
              `${time} = ${time} - interval '${ms} milliseconds' * (${time} < '${FAR}')::int`,
          );
          return `update ${name} set ${past.join(', ')}`;
        }),
    );
  }

  /** Without triggers: neither foreign keys nor revisions have a say. */
  async #run(statements: readonly string[]): Promise<void> {
    const text = [
      'begin',
      "set local session_replication_role = 'replica'",
      ...statements,
      'commit',
    ].join(';\n');
    await this.#database.read.kysely
      .connection()
      .execute((session) => sql.raw(text).execute(session));
  }
}

const FAR = '9000-01-01Z';

const fill = (into: string, from: string, { name, columns }: Table): string[] => {
  const list = columns.map((column) => `"${column}"`).join(', ');
  return [
    `delete from ${into}.${name}`,
    `insert into ${into}.${name} (${list}) overriding system value
     select ${list} from ${from}.${name}`,
  ];
};
