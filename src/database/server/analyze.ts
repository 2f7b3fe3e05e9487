/**
 * Statistics for tables that just grew. PostgreSQL analyzes by itself within minutes; a first sync
 * has its hot statements before that, and a planner that believes in ten rows joins tens of
 * thousands with tens of thousands, once per batch.
 */
import { sql } from 'kysely';

import type { Database } from '../orm.ts';
import { all, run } from '../sql.ts';

/** A table below this many pages (of 8 KiB) is read fast by any plan. */
const PAGES_MIN = 16;

type Table = 'paths' | 'blobs' | 'snapshot_blobs' | 'blob_registry';

/**
 * Analyzes those of the tables that are half as large again as when they were analyzed last. One
 * that is being analyzed or vacuumed at this moment is passed by.
 */
export async function analyzeGrown(db: Database, tables: readonly Table[]): Promise<void> {
  const rows = await all(
    db.read,
    sql<{ name: Table }>`
      select c.relname as name
      from pg_class c
      where c.oid = any(${[...tables]}::text[]::regclass[])
        and pg_relation_size(c.oid) / 8192 > greatest(
          ${PAGES_MIN},
          case when c.reltuples < 0 then 0 else c.relpages * 1.5 end
        )`,
  );
  for (const { name } of rows) await run(db.read, sql`analyze (skip_locked) ${sql.table(name)}`);
}
