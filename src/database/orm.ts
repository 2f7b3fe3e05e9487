/**
 * The only place that opens PostgreSQL. Everything else in this room works on a `Database` or on a
 * transaction of it.
 */
import { Migrator } from '@mikro-orm/migrations';
import { MikroORM, type EntityManager } from '@mikro-orm/postgresql';
import type { Kysely } from 'kysely';

import { DebgeoError } from '../domain/errors.ts';
import { ENTITIES } from './entities/index.ts';
import { MIGRATIONS } from './migrations/index.ts';
import { KEEPALIVE_MS, PATIENCE, patienceSql, type Patience } from './patience.ts';

export interface Tx {
  /**
   * For the control plane: entities, one by one.
   *
   * What an operator configures is found, assigned and flushed; a transaction that ends with a
   * change that was not flushed is rolled back. Rows that many write (replications, publications,
   * prunes) are written by `nativeUpdate`, each time on a condition. Lock in SQL first and find
   * afterwards: what was found before a lock, or before SQL wrote to it, is old. Within one
   * transaction a row is written by the unit of work or by SQL, never by both. `em.transactional`
   * does not join this transaction, and throws.
   */
  readonly em: EntityManager;
  /**
   * For set-based SQL, in the same transaction: `all(tx, sql\`…\`)`. bigint comes out as
   * number, timestamptz as text: select `ms(column)`.
   */
  readonly kysely: Kysely<unknown>;
}

export interface Database {
  readonly orm: MikroORM;
  /**
   * One transaction at read committed: it commits when `work` resolves and rolls back when it
   * throws.
   */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /** For reads that need no transaction: every statement sees what is committed when it begins. */
  readonly read: Tx;
  close(): Promise<void>;
}

/** A new connection that takes longer than this is a failure: milliseconds. */
const CONNECT_MS = 10_000;
/**
 * Connections that one process holds at most: eight lanes of a site and what is beside them, each a
 * transaction now and then.
 */
export const POOL_MAX = 20;
const OID_INT8 = 20;

/** @throws DATABASE_UNREACHABLE  no answer, or the server refuses user, password or database */
export async function connectDatabase(
  url: string,
  options: { poolMax?: number; patience?: Patience } = {},
): Promise<Database> {
  try {
    const orm = createOrm(url, options.poolMax ?? POOL_MAX, options.patience ?? PATIENCE);
    try {
      await orm.em.fork().execute('select 1');
    } catch (error) {
      await orm.close(true);
      throw error;
    }
    return {
      orm,
      transaction: (work) => inTransaction(orm, work),
      get read() {
        const em = orm.em.fork();
        return { em, kysely: kyselyOf(em) };
      },
      close: () => orm.close(true),
    };
  } catch (error) {
    const place = placeOf(url);
    if (place === null)
      throw new DebgeoError('DATABASE_UNREACHABLE', 'the URL of PostgreSQL cannot be used', {
        expected:
          'postgresql://user:password@host:5432/database; ' +
          'special characters of a password as %40 and the like',
        found: 'something else (not shown, it may hold a password)',
      });
    throw new DebgeoError(
      'DATABASE_UNREACHABLE',
      `PostgreSQL at ${place} cannot be used`,
      { found: reasonOf(error) },
      error,
    );
  }
}

function createOrm(url: string, poolMax: number, patience: Patience): MikroORM {
  return new MikroORM({
    clientUrl: url,
    entities: ENTITIES,
    extensions: [Migrator],
    migrations: { migrationsList: MIGRATIONS, snapshot: false, silent: true },
    pool: { min: 0, max: poolMax },
    driverOptions: {
      application_name: 'debgeo',
      connectionTimeoutMillis: CONNECT_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEPALIVE_MS,
      onConnect: async (client: {
        on(event: 'error', listener: () => void): unknown;
        query(text: string): Promise<unknown>;
      }) => {
        // The server may end a session that is in use, between two statements: the next one throws.
        client.on('error', () => undefined);
        await client.query(patienceSql(patience));
      },
      // Sizes, counts, milliseconds and ids are all far below 2^53: numbers, not text.
      onPoolCreated: (pool: {
        options: { types: { setTypeParser(oid: number, parse: (text: string) => number): void } };
      }) => pool.options.types.setTypeParser(OID_INT8, Number),
    },
  });
}

/**
 * Kysely's transaction and not the entity manager's: that one keeps the connection of a transaction
 * whose rollback fails, as it does when the server has gone, and the pool is empty after a restart
 * of the server or two. It joins no transaction around it, either.
 */
function inTransaction<T>(orm: MikroORM, work: (tx: Tx) => Promise<T>): Promise<T> {
  const em = orm.em.fork() as EntityManager;
  return kyselyOf(em)
    .transaction()
    .execute(async (kysely) => {
      em.setTransactionContext(kysely);
      const answer = await work({ em, kysely });
      assertFlushed(em);
      return answer;
    });
}

/** A change that is not flushed would be lost without a word. Free where no entity was touched. */
function assertFlushed(em: EntityManager): void {
  const unitOfWork = em.getUnitOfWork();
  unitOfWork.computeChangeSets();
  const forgotten = unitOfWork.getChangeSets().map(({ type, meta }) => `${type} ${meta.className}`);
  if (forgotten.length > 0) throw new Error(`changes are not flushed: ${forgotten.join(', ')}`);
}

const kyselyOf = (em: EntityManager): Kysely<unknown> => em.getKysely<unknown>() as Kysely<unknown>;

/**
 * Host, port and database without user and password: an error must never carry a secret. Null where
 * a password may have been taken for a part of these, as in `postgres:secret@host/database` or with
 * a slash that is not escaped; then drivers quote it, too.
 */
function placeOf(url: string): string | null {
  const parsed = URL.parse(url);
  return parsed !== null && /^\/[^/@]+$/.test(parsed.pathname)
    ? `${parsed.host}${parsed.pathname}`
    : null;
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.message !== '') return error.message;
  return error.cause instanceof Error || error instanceof AggregateError
    ? reasonOf(error.cause ?? (error as AggregateError).errors[0])
    : error.name;
}
