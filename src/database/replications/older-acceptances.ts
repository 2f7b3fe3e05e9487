/**
 * An operator's acceptance of an older release, for one look at the archive: the one that begins
 * next, whatever made it begin.
 *
 * A look reserves the acceptance when it begins, and ends it with what it commits. So a repeated
 * attempt finds it again and cannot use it twice, and one that is given while a look is running
 * waits for the next.
 */
import { sql } from 'kysely';

import { DebgeoError } from '../../domain/errors.ts';
import { DebianDistribution } from '../entities/debian-distribution.ts';
import { OlderAcceptance } from '../entities/older-acceptance.ts';
import { recordEvent } from '../incidents.ts';
import type { Database, Tx } from '../orm.ts';
import { all, now } from '../sql.ts';

/** @throws NAME_UNKNOWN  no such distribution */
export function acceptOlder(
  db: Database,
  distribution: string,
  acceptance: { readonly reason: string; readonly by: string },
): Promise<void> {
  return db.transaction(async ({ em }) => {
    const found = await em.findOne(DebianDistribution, { name: distribution, removed: false });
    if (found === null)
      throw new DebgeoError('NAME_UNKNOWN', `there is no distribution ${distribution}`);
    const { reason, by: acceptedBy } = acceptance;
    em.create(OlderAcceptance, { distribution: found, reason, acceptedBy });
    await em.flush();
  });
}

/**
 * A look begins: all acceptances that wait are for it. Locked in SQL and found afterwards: another
 * look may end them at this moment.
 * @returns the newest; null: there is none
 */
export function reserveOlderAcceptance(
  db: Database,
  distributionId: number,
): Promise<number | null> {
  return db.transaction(async (tx) => {
    const locked = await all(
      tx,
      sql<{ id: number }>`
        select id
        from older_acceptances
        where distribution_id = ${distributionId}
          and ended_at is null
        order by id
        for update`,
    );
    if (locked.length === 0) return null;
    const ids = locked.map(({ id }) => id);
    for (const acceptance of await tx.em.find(OlderAcceptance, { id: ids, takenAt: null }))
      tx.em.assign(acceptance, { takenAt: now() });
    await tx.em.flush();
    return ids.at(-1)!;
  });
}

/**
 * An older release becomes this generation: the acceptance is used up, and on record with both
 * dates. The caller holds the lock of the distribution, as that of endOlderAcceptances does.
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
  const open = { id, distribution: distributionId, endedAt: null };
  const acceptance = await tx.em.findOne(OlderAcceptance, open);
  if (acceptance === null)
    throw new DebgeoError(
      'RELEASE_ROLLBACK',
      'that an older release is accepted was for another look',
    );
  tx.em.assign(acceptance, { endedAt: now(), generation });
  await tx.em.flush();
  const { reason, acceptedBy: by } = acceptance;
  const facts = { reason, by, date, newestDate };
  await recordEvent(tx, { distributionId, generation, what: 'accepted older', facts });
}

/**
 * A look has ended, well or not: the acceptances that were reserved for it are over. The caller
 * holds the lock of the distribution.
 */
export async function endOlderAcceptances({ em }: Tx, distributionId: number): Promise<void> {
  const reserved = { distribution: distributionId, takenAt: { $ne: null }, endedAt: null };
  await em.nativeUpdate(OlderAcceptance, reserved, { endedAt: now() });
}
