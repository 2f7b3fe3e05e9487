/**
 * What becomes of blobs that were read, as far as it is said once for copies and for checksums:
 * progress moves, and wrong bytes go on record.
 */
import { sql, type RawBuilder } from 'kysely';

import type { Replication } from '../../domain/replication.ts';
import type { Sha256 } from '../../domain/sha256.ts';
import type { Tx } from '../orm.ts';
import { type LaneKey } from '../replication-row.ts';
import { all } from '../sql.ts';
import { moveProgress, recordCorrupt } from './lane-sql.ts';

export interface CorruptBlob {
  readonly path: string;
  readonly expected: string;
  /** A SHA-256, or `nothing`. */
  readonly found: string;
}

interface Verdict {
  /** Settled by it, less those that were settled and are wrong. */
  readonly files: number;
  readonly bytes: number;
  readonly bad: readonly CorruptBlob[];
}

/**
 * Books a set of blobs by the statement that judges them in the registry.
 * @param judging an update of blob_registry that returns path_id, size, expected, found, is_right
 *   and was_settled of each row that it changed
 */
export async function bookJudged(
  tx: Tx,
  lane: LaneKey,
  judging: RawBuilder<unknown>,
): Promise<{ bad: readonly CorruptBlob[]; row: Replication }> {
  // Only what is wrong comes back blob by blob: a row that is sent and read costs more than one
  // that is counted.
  const rows = await all(
    tx,
    sql<Verdict>`
    with judged as (${judging})
    select coalesce(sum(is_right::int - was_settled::int), 0)::int as files,
      coalesce(sum(size * (is_right::int - was_settled::int)), 0)::bigint as bytes,
      coalesce(json_agg(json_build_object(
        'path', (select p.path from paths p where p.id = path_id),
        'expected', encode(expected, 'hex'), 'found', coalesce(encode(found, 'hex'), 'nothing')) order by path_id) filter (where not is_right), '[]') as bad
    from judged`,
  );
  const { bad, ...settled } = rows[0]!;
  for (const blob of bad) await recordCorrupt(tx, lane, blob);
  return { bad, row: await moveProgress(tx, lane, settled) };
}

/**
 * Arrays to `unnest`. Each in a select of its own: so the planner expects ten rows and looks up
 * each by its key, whatever statistics say, which are older than the rows while a site is filled or
 * read back. Numbers and digests as PostgreSQL reads them: the driver's own way, element by
 * element, takes longer.
 */
export const bigints = (values: readonly (number | null)[]): RawBuilder<unknown> =>
  sql`(select ${`{${values.map((value) => value ?? 'null').join(',')}}`}::bigint[])`;

export const digests = (values: readonly (Sha256 | null)[]): RawBuilder<unknown> =>
  sql`(select ${`{${values.map((value) => (value === null ? 'null' : `"\\\\x${value}"`)).join(',')}}`}::bytea[])`;

export const texts = (values: readonly (string | null)[]): RawBuilder<unknown> =>
  sql`(select ${values}::text[])`;
