/** How this room runs SQL: `all`, `one` or `run`, and how times go in and come out. */
import { raw } from '@mikro-orm/postgresql';
import { sql, type RawBuilder } from 'kysely';

import type { Tx } from './orm.ts';

/** All rows of a statement. */
export async function all<Row>(tx: Tx, statement: RawBuilder<Row>): Promise<Row[]> {
  return (await statement.execute(tx.kysely)).rows;
}

/** The first row of a statement that may find none; null then. */
export async function one<Row>(tx: Tx, statement: RawBuilder<Row>): Promise<Row | null> {
  return (await all(tx, statement))[0] ?? null;
}

/** Runs a statement. @returns how many rows it inserted, updated or deleted */
export async function run(tx: Tx, statement: RawBuilder<unknown>): Promise<number> {
  return Number((await statement.execute(tx.kysely)).numAffectedRows ?? 0n);
}

/** A timestamptz as milliseconds since 1970, null as null. */
export const ms = (column: RawBuilder<unknown> | string): RawBuilder<number> => {
  const value = typeof column === 'string' ? sql.ref(column) : column;
  return sql<number>`floor(extract(epoch from ${value}) * 1000)::bigint`;
};

/** How long it is until a timestamptz, in milliseconds by the database's clock; null as null. */
export const msUntil = (column: string): RawBuilder<number> => ms(sql`${sql.ref(column)} - now()`);

/** Milliseconds since 1970 as a timestamptz, null as null. */
export const timestamp = (value: number | Date | null): RawBuilder<unknown> =>
  sql`to_timestamp(${value === null ? null : Number(value) / 1000}::double precision)`;

/** The database's clock, in a column of an entity. */
export const now = () => raw<Date>('now()');

/** So many milliseconds from now by the database's clock, in a column of an entity. */
export const later = (wait: number) => raw<Date>("now() + ? * interval '1 millisecond'", [wait]);

/** The largest value of a column of type int. */
export const INT_MAX = 2_147_483_647;
