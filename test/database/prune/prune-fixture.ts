/** Two sites to prune, and what tests ask of them. */
import type { TestContext } from 'node:test';

import { sql } from 'kysely';

import { readSite } from '../../../src/database/configuration/sites.ts';
import { type Database } from '../../../src/database/orm.ts';
import { markUnneeded } from '../../../src/database/prune/mark-unneeded.ts';
import {
  bookGone,
  claimMarked,
  type PruneClaim,
} from '../../../src/database/prune/marked-blobs.ts';
import { loadPrune, startDeleting, startPrune } from '../../../src/database/prune/prunes.ts';
import { all, one, run } from '../../../src/database/sql.ts';
import { aDatabase, capture, serve } from '../lanes-fixture.ts';

export const PRUNING = 4;
export const FRA = 'fra';

/** Sites that keep only what they need: no grace, and only the newest of what they served. */
export async function sparing(t: TestContext): Promise<{ db: Database; fra: number; sin: number }> {
  const db = await aDatabase(t);
  await keep(db, 0, 1);
  const idOf = async (name: string) => (await readSite(db.read, name)).id;
  return { db, fra: await idOf(FRA), sin: await idOf('sin') };
}

export const keep = (db: Database, graceMs: number, generations: number) =>
  run(
    db.read,
    sql`
      update replication_sites
      set grace_ms = ${graceMs}, kept_generations = ${generations}`,
  );

export async function pathsAt(db: Database, siteId: number, state: number | null = null) {
  const rows = await all(
    db.read,
    sql<{ path: string }>`
      select p.path
      from blob_registry r
      join paths p on p.id = r.path_id
      where r.site_id = ${siteId}
        and (${state}::int is null or r.state = ${state})
      order by p.path`,
  );
  return rows.map((row) => row.path);
}

export async function countOf(db: Database, table: string): Promise<number> {
  const found = await one(
    db.read,
    sql<{ count: number }>`select count(*) from ${sql.table(table)}`,
  );
  return found!.count;
}

export const marked = (db: Database, siteId: number) => pathsAt(db, siteId, PRUNING);

/** An attempt begins to delete, and ends those before. */
export async function deleting(db: Database, site = FRA): Promise<PruneClaim> {
  const begun = await startDeleting(db, site, null, 1);
  if ('stale' in begun) throw new Error('a newer one has begun');
  return begun;
}

/** A whole run; the site is taken to delete everything. @returns the paths that went */
export async function prune(db: Database, siteId: number): Promise<string[]> {
  await loadPrune(db, FRA);
  await startPrune(db, siteId);
  await markUnneeded(db, siteId);
  const claim = await deleting(db);
  const gone = await claimMarked(db, claim, 10_000);
  await bookGone(db, claim, gone);
  return gone.map((blob) => blob.path as string).sort();
}

/** Serves generation after generation, each with a file of its own and one that all have. */
export async function served(
  db: Database,
  name: string,
  generations: readonly string[],
  site = FRA,
): Promise<void> {
  for (const own of generations)
    await serve(
      db,
      name,
      await capture(db, name, { [`pool/${own}.deb`]: own, 'pool/all.deb': 'all' }),
      site,
    );
}
