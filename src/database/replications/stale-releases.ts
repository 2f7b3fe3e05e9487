/**
 * How old the newest release of a distribution is, and the incident of its age: one from the look
 * that finds it stale to the first that does not.
 */
import { sql } from 'kysely';

import type { ErrorReport } from '../../domain/errors.ts';
import { judgeAge } from '../../domain/freshness.ts';
import { recordWhile } from '../incidents.ts';
import type { Tx } from '../orm.ts';
import { ms, one } from '../sql.ts';

export interface ReleaseAge {
  readonly generation: number;
  /** Its Date; where it has none, when its text was first captured, however often it was signed. */
  readonly releasedAt: Date;
  /** Null: no age is too old. */
  readonly staleAfterMs: number | null;
}

/** Of the newest captured generation; null before the first. */
export async function readReleaseAge(tx: Tx, distributionId: number): Promise<ReleaseAge | null> {
  const firstCaptured = sql`(
    select min(same.captured_at)
    from distribution_snapshots same
    where same.distribution_id = d.id
      and same.generation > coalesce((
        select max(other.generation)
        from distribution_snapshots other
        where other.distribution_id = d.id
          and other.body_sha256 <> newest.body_sha256), 0))`;
  const row = await one(
    tx,
    sql<{ generation: number; releasedAt: number; staleAfterMs: number | null }>`
      select newest.generation, d.stale_after_ms as "staleAfterMs",
        ${ms(sql`coalesce(newest.date, ${firstCaptured})`)} as "releasedAt"
      from debian_distributions d
      join distribution_snapshots newest
        on newest.distribution_id = d.id and newest.generation = d.latest_generation
      where d.id = ${distributionId}`,
  );
  return row && { ...row, releasedAt: new Date(row.releasedAt) };
}

/** Null: it is not too old, or there is none. */
export async function readStaleness(
  tx: Tx,
  distributionId: number,
  at: Date,
): Promise<ErrorReport | null> {
  const age = await readReleaseAge(tx, distributionId);
  return age && judgeAge(age.releasedAt, age.staleAfterMs, at);
}

/**
 * A look at the archive has ended, well or not, with something new or not: is the newest release
 * too old now? On record while it is; the state of the distribution stays as it is. The caller
 * holds the lock of the distribution.
 */
export const recordStaleness = async (tx: Tx, distributionId: number): Promise<void> =>
  recordWhile(
    tx,
    { distributionId, code: 'RELEASE_STALE' },
    await readStaleness(tx, distributionId, new Date()),
    'the newest release is not too old any more',
  );
