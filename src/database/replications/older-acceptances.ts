/**
 * An operator's word that an older release may be taken, once: for the look at the archive that
 * begins next, whoever asked for it.
 *
 * A look takes the word when it begins, and ends it with what it commits, so that neither a
 * repeated attempt nor a word that was given while another look was running can lose it or use it
 * twice.
 */
import { sql } from 'kysely';

import { DebgeoError } from '../../domain/errors.ts';
import { recordEvent } from '../incidents.ts';
import { type Database, type Tx } from '../orm.ts';
import { all, one, run } from '../sql.ts';

/** @throws NAME_UNKNOWN  no such distribution */
export function acceptOlder(
  db: Database,
  distribution: string,
  word: { readonly reason: string; readonly by: string },
): Promise<void> {
  return db.transaction(async (tx) => {
    const changed = await run(
      tx,
      sql`
      insert into older_acceptances (distribution_id, reason, accepted_by)
      select id, ${word.reason}, ${word.by} from debian_distributions where name = ${distribution} and not removed`,
    );
    if (changed !== 1)
      throw new DebgeoError('NAME_UNKNOWN', `there is no distribution ${distribution}`);
  });
}

/**
 * A look begins: all words that wait are meant for it. Answers with the newest; null: there is
 * none.
 */
export function takeOlderAcceptance(db: Database, distributionId: number): Promise<number | null> {
  return db.transaction(async (tx) => {
    const rows = await all(
      tx,
      sql<{ id: number }>`
      update older_acceptances set taken_at = coalesce(taken_at, now())
      where distribution_id = ${distributionId} and ended_at is null returning id`,
    );
    return rows.length === 0 ? null : Math.max(...rows.map(({ id }) => id));
  });
}

/**
 * An older release becomes this generation: the word is used up, and on record with both dates.
 * @throws RELEASE_ROLLBACK  it was used or has ended meanwhile
 */
export async function useOlderAcceptance(
  tx: Tx,
  id: number,
  at: {
    readonly distributionId: number;
    readonly generation: number;
    readonly date: Date | null;
    readonly newestDate: Date | null;
  },
): Promise<void> {
  const { distributionId, generation, date, newestDate } = at;
  const used = await one(
    tx,
    sql<{ reason: string; by: string }>`
      update older_acceptances set ended_at = now(), generation = ${generation}
      where id = ${id} and distribution_id = ${distributionId} and ended_at is null returning reason, accepted_by as by`,
  );
  if (used === null)
    throw new DebgeoError(
      'RELEASE_ROLLBACK',
      'that an older release is accepted was for another look',
    );
  await recordEvent(tx, {
    distributionId,
    generation,
    what: 'accepted older',
    facts: { ...used, date, newestDate },
  });
}

/** A look has ended, well or not: the words that were meant for it are over. */
export async function endOlderAcceptances(tx: Tx, distributionId: number): Promise<void> {
  await run(
    tx,
    sql`
    update older_acceptances set ended_at = now()
    where distribution_id = ${distributionId} and taken_at is not null and ended_at is null`,
  );
}
