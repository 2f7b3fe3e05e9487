/**
 * Failed lanes that wait for something else than the next attempt: a person, a newer release, a
 * free path, an answer of the site. All of them try again by themselves; what has changed wakes
 * them sooner. What says that a person has to act is the rule of the code.
 */
import { sql, type RawBuilder } from 'kysely';

import { isErrorCode, needsPerson, RULES, type ErrorCode } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Tx } from '../orm.ts';
import { run } from '../sql.ts';

const CODES = Object.keys(RULES).filter(isErrorCode);
const PERSON_CODES = CODES.filter(needsPerson);

const isOneOf = (codes: readonly ErrorCode[], lane = 'r'): RawBuilder<boolean> =>
  sql<boolean>`${sql.ref(`${lane}.failure_code`)} = any(${[...codes]}::text[])`;

/** Of a lane: what it failed with last needs a person. Null: it did not fail. */
export const awaitsPerson = (lane: 'r' | 'l' = 'r'): RawBuilder<boolean | null> =>
  isOneOf(PERSON_CODES, lane);

/**
 * Of `r`, a lane: a newer release may do without what it failed with, or nothing has to be done
 * about it before the next attempt says so.
 */
export const AWAITS_RELEASE = isOneOf([...PERSON_CODES, 'BLOB_MISSING', 'BLOB_MISMATCH']);

/** What an answer of a site may have ended. */
const OF_SITE: readonly ErrorCode[] = [
  ...PERSON_CODES.filter((code) => /^(SITE|ANCHOR)_/.test(code)),
  'SITE_UNREACHABLE',
  'SITE_STALLED',
  'SITE_IDENTITY_MISSING',
];

/** Of `r`, a failed lane of the site: the site was the reason, and not only a moment ago. */
export const awaitsSite = (siteId: number): RawBuilder<boolean> => sql<boolean>`(
  r.site_id = ${siteId}
  and ${isOneOf(OF_SITE)}
  and not exists (
    select
    from incidents i
    where i.distribution_id = r.distribution_id
      and i.site_id = r.site_id
      and i.code = r.failure_code
      and i.resolved_at is null
      and i.last_at > now() - ${LIMITS.wakeMs} * interval '1 millisecond'
  ))`;

/** Of `r`, a parked lane of the site: one of these paths was not free for what it wants there. */
export const awaitsPaths = (siteId: number, pathIds: readonly number[]): RawBuilder<boolean> =>
  sql<boolean>`(
    r.site_id = ${siteId}
    and r.failure_code = 'PATH_CONFLICT'
    and exists (
      select
      from blobs b
      join snapshot_blobs m on m.blob_id = b.id
      where b.path_id = any(${[...pathIds]}::bigint[])
        and m.distribution_id = r.distribution_id
        and m.from_generation <= coalesce(r.pinned_generation, r.desired_generation)
        and m.to_generation > coalesce(r.pinned_generation, r.desired_generation)
    ))`;

/**
 * Common table expressions that have failed lanes try again at once; their workflows see it within
 * a minute. A lane that another transaction changes at this moment is left out, so that this waits
 * for none: it tries within the hour.
 * @param which of `r`, a lane
 */
export const waking = (which: RawBuilder<boolean>): RawBuilder<unknown> => sql`
  waiting as (
    select r.distribution_id, r.site_id
    from distribution_replications r
    join debian_distributions d on d.id = r.distribution_id
    where r.state = 'failed'
      and r.retry_at > now()
      and ${which}
    for no key update skip locked
  ),
  woken as (
    update distribution_replications r
    set retry_at = now()
    from waiting w
    where r.distribution_id = w.distribution_id
      and r.site_id = w.site_id
    returning r.distribution_id
  ),
  told as (
    update debian_distributions d
    set changed_rev = nextval('revision')
    from (select distinct distribution_id from woken) w
    where d.id = w.distribution_id
  )`;

/** As `waking`. */
export const wake = (tx: Tx, which: RawBuilder<boolean>): Promise<number> =>
  run(tx, sql`with ${waking(which)} select`);

/** The site has answered: lanes that waited for that are not to wait for their hour. */
export const wakeOfSite = (tx: Tx, siteId: number): Promise<number> => wake(tx, awaitsSite(siteId));
