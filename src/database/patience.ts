/**
 * How long one process waits for another through PostgreSQL. A worker that freezes (a machine that
 * is suspended, a debugger, a page that swaps) holds its locks for as long as its session lives,
 * and a peer that has gone without a word is a session, too.
 */
import { sql } from 'kysely';

import type { Database, Tx } from './orm.ts';
import { run } from './sql.ts';

/** What every session asks the server for; a setting that a server does not know is left out. */
export interface Patience {
  /** A transaction that waits for its client this long is rolled back, and its locks go. */
  readonly idleInTransactionMs: number;
  /** A peer that does not acknowledge what was sent this long has gone. */
  readonly unacknowledgedMs: number;
}

/**
 * No transaction of debgeo waits for anything but the next statement of its own process; one that
 * sends none for so long is frozen, and a lane goes on within half a minute. Node cannot set the
 * client's half of TCP_USER_TIMEOUT: a server that went without a word is noticed by keepalives
 * when the socket is quiet, else when TCP gives up.
 */
export const PATIENCE: Patience = { idleInTransactionMs: 15_000, unacknowledgedMs: 15_000 };

/** A quiet connection is probed after this, then every second, ten times. */
export const KEEPALIVE_MS = 10_000;

/**
 * Bookkeeping waits this long for a lock: less than its activity may take, so that what Temporal
 * repeats never waits beside what it repeats, each with a connection of the pool.
 */
const LOCK_MS = 15_000;

/** To be run on each new connection: a pooler in between refuses options of the startup. */
export const patienceSql = ({ idleInTransactionMs, unacknowledgedMs }: Patience): string => `
  select set_config(name, wanted, false)
  from (
    values
      ('idle_in_transaction_session_timeout', '${idleInTransactionMs}'),
      ('tcp_user_timeout', '${unacknowledgedMs}')
  ) settings (name, wanted)
  join pg_settings using (name)`;

/** A transaction that writes a few rows, repeated by Temporal for as long as it must be. */
export function bookkeeping<T>(db: Database, work: (tx: Tx) => Promise<T>): Promise<T> {
  return db.transaction(async (tx) => {
    await run(tx, sql`select set_config('lock_timeout', ${`${LOCK_MS}`}, true)`);
    return work(tx);
  });
}
