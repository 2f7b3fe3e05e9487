/**
 * The judgement of blobs that were read back, after a copy or by checksum: right bytes are settled,
 * wrong ones go on record, and progress moves.
 */
import { sql, type RawBuilder } from 'kysely';

import type { ErrorReport } from '../../domain/errors.ts';
import type { Replication } from '../../domain/replication.ts';
import type { Sha256 } from '../../domain/sha256.ts';
import { recordIncident } from '../incidents.ts';
import type { Tx } from '../orm.ts';
import type { LaneKey } from '../replication-row.ts';
import { one } from '../sql.ts';
import { pathOf } from './lane-sql.ts';
import { moveProgress } from './progress.ts';

export interface CorruptBlob {
  readonly path: string;
  readonly expected: string;
  /** A SHA-256, or `nothing`. */
  readonly found: string;
}

/**
 * The bytes of `u` are those that the catalog has of `b`: judged here, in SQL, and nowhere else.
 * Never null: `u` is without digest where nothing was there.
 */
export const isRight = sql`(u.sha256 is not null and u.size = b.size and u.sha256 = b.sha256)`;

interface Judged {
  /** Blobs settled now, less those that were settled before and are wrong. */
  readonly files: number;
  readonly bytes: number;
  readonly bad: readonly CorruptBlob[];
}

/**
 * Judges a set of blobs and books the outcome: incidents of wrong bytes, progress of the lane.
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
  const judged = await one(
    tx,
    sql<Judged>`
      with judged as (
        ${judging}
      )
      select coalesce(sum(is_right::int - was_settled::int), 0)::int as files,
        coalesce(sum(size * (is_right::int - was_settled::int)), 0)::bigint as bytes,
        coalesce(
          json_agg(
            json_build_object(
              'path', ${pathOf(sql`path_id`)},
              'expected', encode(expected, 'hex'),
              'found', coalesce(encode(found, 'hex'), 'nothing')
            )
            order by path_id
          ) filter (where not is_right),
          '[]'
        ) as bad
      from judged`,
  );
  const { bad, ...settled } = judged!;
  for (const blob of bad) await recordCorrupt(tx, lane, blob);
  return { bad, row: await moveProgress(tx, lane, settled) };
}

/** An incident: the site holds other bytes than the catalog says. The repair follows. */
export function recordCorrupt(
  tx: Tx,
  lane: LaneKey,
  blob: { path: string; expected: string; found: string },
): Promise<void> {
  const report: ErrorReport = {
    code: 'BLOB_CORRUPT',
    message: `the site holds other bytes at ${blob.path}`,
    expected: blob.expected,
    found: blob.found,
    state: 'repair begins at once',
  };
  return recordIncident(tx, { ...lane, path: blob.path, report });
}

/**
 * Arrays to `unnest`. Each in a select of its own: so the planner expects ten rows and looks up
 * each by its key, whatever statistics say, which are older than the rows while a site is filled or
 * read back. Numbers and digests as PostgreSQL reads them: the driver's own way, element by
 * element, takes longer.
 */
export const bigints = (values: readonly (number | null)[]): RawBuilder<unknown> =>
  sql`(select ${arrayText(values.map((value) => value ?? 'null'))}::bigint[])`;

export const digests = (values: readonly (Sha256 | null)[]): RawBuilder<unknown> =>
  sql`(select ${arrayText(values.map(byteaText))}::bytea[])`;

export const texts = (values: readonly (string | null)[]): RawBuilder<unknown> =>
  sql`(select ${values}::text[])`;

const byteaText = (hex: Sha256 | null): string => (hex === null ? 'null' : `"\\\\x${hex}"`);

const arrayText = (elements: readonly (string | number)[]): string => `{${elements.join(',')}}`;
