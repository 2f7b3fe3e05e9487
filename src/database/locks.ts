/** Locks that rows do not give, and their order: the archive before anything else. */
import { sql } from 'kysely';

import type { Tx } from './orm.ts';
import { run } from './sql.ts';

/**
 * Held by whatever refers to paths and blobs of an archive (capture, plan, publication), against
 * prune, which takes it exclusively. Always its own statement and the first lock of a transaction:
 * a statement behind it must see what was committed before it was granted.
 */
export async function lockArchiveShared(tx: Tx, archiveId: number): Promise<void> {
  await run(tx, sql`select pg_advisory_xact_lock_shared(${archiveId}::bigint)`);
}

/**
 * As lockArchiveShared, for prune: nobody captures, plans or begins to publish anything of the
 * archive until this transaction ends.
 */
export async function lockArchiveForPrune(tx: Tx, archiveId: number): Promise<void> {
  await run(tx, sql`select pg_advisory_xact_lock(${archiveId}::bigint)`);
}
