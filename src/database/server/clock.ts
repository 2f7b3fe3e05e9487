import { sql } from 'kysely';

import type { Database } from '../orm.ts';
import { ms, one } from '../sql.ts';

/** The database's clock, in milliseconds: commands are stamped by it, so compare with it. */
export async function readDatabaseClock(database: Database): Promise<number> {
  const clock = await one(
    database.read,
    sql<{ now: number }>`select ${ms(sql`clock_timestamp()`)} as now`,
  );
  return clock!.now;
}
