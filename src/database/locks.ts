/**
 * Locks that MikroORM cannot take, and their order: the archive before anything else. Its
 * `lockMode` has no `for no key update`, and locks every joined table.
 */
import { sql } from 'kysely';

import { fenced } from './fence.ts';
import type { Tx } from './orm.ts';
import { one, run } from './sql.ts';

/**
 * Held by whatever refers to paths and blobs of an archive (capture, plan, publication), against
 * prune, which takes it exclusively. Always its own statement and the first lock of a transaction:
 * a statement behind it must see what was committed before it was granted.
 * @returns the archive of the distribution
 * @throws FENCED the distribution was removed
 */
export async function lockArchiveShared(tx: Tx, distributionId: number): Promise<number> {
  const locked = await one(
    tx,
    sql<{ archiveId: number }>`
      select archive_id as "archiveId", pg_advisory_xact_lock_shared(archive_id::bigint)
      from debian_distributions
      where id = ${distributionId}`,
  );
  if (locked === null) throw fenced('the distribution was removed');
  return locked.archiveId;
}

/**
 * As lockArchiveShared, for prune: no worker captures, plans or begins to publish anything of the
 * archive until this transaction ends.
 */
export async function lockArchiveForPrune(tx: Tx, archiveId: number): Promise<void> {
  await run(tx, sql`select pg_advisory_xact_lock(${archiveId}::bigint)`);
}

/** What a configuration names. */
export interface Named {
  readonly archives: readonly string[];
  readonly sites: readonly string[];
  readonly distributions: readonly string[];
}

/** Any number, as long as nothing else locks it. */
const APPLY = 727002;

/**
 * Two applies at once would interleave: the second waits. Distributions that it names, or whose
 * archive or site it names, then their replications, before any archive or site, because that is
 * how captures and lanes come to the archives and sites that they refer to. `no key update` lets a
 * lane that holds its replication refer to its distribution until it ends.
 */
export async function lockForApply(tx: Tx, names: Named): Promise<void> {
  await run(tx, sql`select pg_advisory_xact_lock(${APPLY})`);
  const named = sql`(
    d.name = any(${[...names.distributions]}::text[])
    or d.archive_id in (select id from archives where name = any(${[...names.archives]}::text[]))
    or exists (
      select from distribution_replications r
      join replication_sites s on s.id = r.site_id
      where r.distribution_id = d.id
        and s.name = any(${[...names.sites]}::text[])))`;
  await run(
    tx,
    sql`
      select from debian_distributions d
      where ${named}
      order by d.id
      for no key update`,
  );
  await run(
    tx,
    sql`
      select from distribution_replications
      where distribution_id in (select d.id from debian_distributions d where ${named})
      order by distribution_id, site_id
      for update`,
  );
}
