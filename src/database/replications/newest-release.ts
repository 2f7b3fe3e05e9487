/**
 * What is alarming about the newest release of a distribution, and the incidents of that: its age,
 * and the end of what signed it. Each is one incident, from the look that finds it to the first
 * that does not.
 */
import { sql } from 'kysely';

import type { ErrorCode, ErrorReport } from '../../domain/errors.ts';
import { judgeAge } from '../../domain/freshness.ts';
import { type GoodSignature, judgeKeyExpiry } from '../../domain/key-expiry.ts';
import { recordIncident, resolveIncident } from '../incidents.ts';
import type { Tx } from '../orm.ts';
import { ms, one } from '../sql.ts';

export interface NewestRelease {
  readonly generation: number;
  /** Its Date; where it has none, when its text was first captured, however often it was signed. */
  readonly releasedAt: Date;
  /** Null: no age is too old. */
  readonly staleAfterMs: number | null;
  /** At the last look that went well; null: none did since debgeo keeps them. */
  readonly signatures: readonly GoodSignature[] | null;
  /** Codes of incidents that are open. */
  readonly alarms: readonly ErrorCode[];
}

/** Null before the first capture. */
export async function readNewestRelease(
  tx: Tx,
  distributionId: number,
): Promise<NewestRelease | null> {
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
    sql<Omit<NewestRelease, 'releasedAt'> & { releasedAt: number }>`
      select newest.generation, d.stale_after_ms as "staleAfterMs", d.signatures,
        ${ms(sql`coalesce(newest.date, ${firstCaptured})`)} as "releasedAt",
        array(
          select i.code
          from incidents i
          where i.distribution_id = d.id
            and i.site_id is null
            and i.resolved_at is null
            and i.code in ('RELEASE_STALE', 'KEY_EXPIRES')) as alarms
      from debian_distributions d
      join distribution_snapshots newest
        on newest.distribution_id = d.id and newest.generation = d.latest_generation
      where d.id = ${distributionId}`,
  );
  return row && { ...row, releasedAt: new Date(row.releasedAt) };
}

/** Null, each: there is nothing to fear, or no release. */
export interface Alarms {
  /** RELEASE_STALE: it is older than `stale_after`. */
  readonly stale: ErrorReport | null;
  /** KEY_EXPIRES: what signed it ends within 30 days. */
  readonly expiring: ErrorReport | null;
}

export function judgeNewest(newest: NewestRelease | null, at: Date): Alarms {
  return {
    stale: newest && judgeAge(newest.releasedAt, newest.staleAfterMs, at),
    expiring: newest?.signatures ? judgeKeyExpiry(newest.signatures, at) : null,
  };
}

const RESOLUTIONS = {
  RELEASE_STALE: 'the newest release is not too old any more',
  KEY_EXPIRES: 'the newest release is signed by a key that lasts',
} as const;

/**
 * A look at the archive has ended, well or not, with something new or not. What alarms is on record
 * while it does; the state of the distribution stays as it is. The caller holds the lock of the
 * distribution.
 */
export async function recordAlarms(tx: Tx, distributionId: number): Promise<void> {
  const newest = await readNewestRelease(tx, distributionId);
  const { stale, expiring } = judgeNewest(newest, new Date());
  const judged = [
    ['RELEASE_STALE', stale],
    ['KEY_EXPIRES', expiring],
  ] as const;
  for (const [code, report] of judged)
    if (report !== null) await recordIncident(tx, { distributionId, report });
    else if (newest?.alarms.includes(code))
      await resolveIncident(tx, { distributionId, code }, RESOLUTIONS[code]);
}
