/** What a command would do to the database, without doing it. */
import { sql } from 'kysely';

import { LIMITS } from '../../domain/limits.ts';
import type { Database } from '../orm.ts';
import { run } from '../sql.ts';

class Rehearsed extends Error {}

/**
 * Runs `work` on a database all of whose transactions are one, which is rolled back at the end. It
 * stays open while `work` waits for a site, for which no other transaction does: what it has
 * written so far holds up no lane, and a look that stores the same index waits for it.
 */
export async function rehearse<T>(
  database: Database,
  work: (rehearsed: Database) => Promise<T>,
): Promise<T> {
  let outcome: { readonly answer: T } | null = null;
  try {
    await database.transaction(async (tx) => {
      await run(
        tx,
        sql`select set_config(
          'idle_in_transaction_session_timeout', ${String(LIMITS.fetchMs)}, true)`,
      );
      const answer = await work({
        orm: database.orm,
        read: tx,
        transaction: (inside) => inside(tx),
        close: () => Promise.resolve(),
      });
      outcome = { answer };
      throw new Rehearsed();
    });
  } catch (error) {
    if (!(error instanceof Rehearsed)) throw error;
  }
  return outcome!.answer;
}
