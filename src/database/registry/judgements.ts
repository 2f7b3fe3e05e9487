/**
 * The judgement of blobs that were read back, after a copy or by checksum: right bytes are settled,
 * wrong ones go on record, and progress moves.
 */
import { sql, type RawBuilder } from 'kysely';

import type { ErrorReport } from '../../domain/errors.ts';
import type { Sha256 } from '../../domain/sha256.ts';
import { holdingClaim, type Settled } from '../claims.ts';
import { overtaken } from '../fence.ts';
import { recordIncident } from '../incidents.ts';
import type { Tx } from '../orm.ts';
import type { LaneIds, LaneKey } from '../replication-row.ts';
import { one, run } from '../sql.ts';
import { atSite, isMember, pathOf, to, UNVERIFIED } from './lane-sql.ts';

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

/**
 * That the claim of this attempt is there: it is locked before the first blob is judged, and
 * nothing is judged without it.
 */
export const isBooking = sql<boolean>`exists (select from booking)`;

/** Blobs settled now, less those that were settled before and are wrong. */
interface Judged extends Settled {
  readonly bad: readonly CorruptBlob[];
  readonly isBooked: boolean;
}

/**
 * Judges a set of blobs and books the outcome, by one statement that locks nothing of the lane:
 * incidents of wrong bytes, progress in the row of the claim.
 * @param judging an update of blob_registry where `isBooking`, which returns path_id, size,
 *   expected, found, is_right and was_settled of each row that it changed
 * @throws FENCED
 */
export async function bookJudged(
  tx: Tx,
  lane: LaneKey,
  judging: RawBuilder<unknown>,
): Promise<Settled & { readonly bad: readonly CorruptBlob[] }> {
  // Only what is wrong comes back blob by blob: a row that is sent and read costs more than one
  // that is counted.
  const judged = await one(
    tx,
    sql<Judged>`
      with booking as materialized (
        select id
        from claims
        where id = ${lane.claim}
        for no key update
      ),
      judged as (
        ${judging}
      ),
      outcome as (
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
        from judged
      ),
      booked as (
        update claims c
        set files = c.files + outcome.files,
          bytes = c.bytes + outcome.bytes
        from outcome, booking
        where c.id = booking.id
        returning c.id
      )
      select files, bytes, bad, exists (select from booked) as "isBooked"
      from outcome`,
  );
  const { isBooked, ...outcome } = judged!;
  if (!isBooked) throw overtaken('this lane', lane);
  for (const blob of outcome.bad) await recordCorrupt(tx, lane, blob);
  return outcome;
}

/** An incident: the site holds other bytes than the catalog says. The repair follows. */
export function recordCorrupt(
  tx: Tx,
  lane: LaneIds & { readonly generation: number | null },
  blob: { readonly path: string; readonly expected: string; readonly found: string },
): Promise<void> {
  const report: ErrorReport = {
    code: 'BLOB_CORRUPT',
    message: `the site holds other bytes at ${blob.path}`,
    expected: blob.expected,
    found: blob.found,
    state: 'repair begins at once',
  };
  const { distributionId, siteId, generation } = lane;
  return recordIncident(tx, { distributionId, siteId, generation, path: blob.path, report });
}

/**
 * Verified members of the generation with these bytes are not what they were: they are copied
 * again.
 * @returns how many
 */
export const doubtBlobs = (tx: Tx, lane: LaneKey, sha256: Sha256): Promise<number> =>
  run(
    tx,
    sql`
      with claiming as materialized (${holdingClaim(lane)})
      update blob_registry r
      set state = ${to('corrupt')},
        verification_state = ${UNVERIFIED}
      from blobs b
      where exists (select from claiming)
        and ${atSite(lane)}
        and r.settled
        and b.id = r.blob_id
        and b.sha256 = decode(${sha256}, 'hex')
        and ${isMember(lane)}`,
  );

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
