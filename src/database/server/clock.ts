import { sql } from 'kysely';

import type { Database } from '../orm.ts';
import { all, ms } from '../sql.ts';

/**
 * The database's clock in milliseconds: requests are stamped by it, so who compares with them asks
 * it too.
 */
export const readDatabaseClock = async (database: Database): Promise<number> => {
  const rows = await all(
    database.read,
    sql<{ now: number }>`select ${ms(sql`clock_timestamp()`)} as now`,
  );
  return rows[0]!.now;
};
