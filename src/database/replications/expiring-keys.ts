/**
 * When what signed the newest release of a distribution expires, and the incident of that: one from
 * the look that finds it near to the first that does not.
 */
import { sql } from 'kysely';

import type { ErrorReport } from '../../domain/errors.ts';
import { type GoodSignature, judgeKeyExpiry } from '../../domain/key-expiry.ts';
import { recordWhile } from '../incidents.ts';
import type { Tx } from '../orm.ts';
import { one } from '../sql.ts';

/** Of the newest release, at the last look that went well; null before the first. */
export async function readSignatures(
  tx: Tx,
  distributionId: number,
): Promise<readonly GoodSignature[] | null> {
  const row = await one(
    tx,
    sql<{ signatures: readonly GoodSignature[] | null }>`
      select signatures
      from debian_distributions
      where id = ${distributionId}`,
  );
  return row?.signatures ?? null;
}

/** Null: nothing of it ends soon, or there is none. */
export async function readKeyExpiry(
  tx: Tx,
  distributionId: number,
  at: Date,
): Promise<ErrorReport | null> {
  const signatures = await readSignatures(tx, distributionId);
  return signatures && judgeKeyExpiry(signatures, at);
}

/**
 * A look at the archive has ended, well or not. As for a release that is too old: the state of the
 * distribution stays as it is. The caller holds the lock of the distribution.
 */
export const recordKeyExpiry = async (tx: Tx, distributionId: number): Promise<void> =>
  recordWhile(
    tx,
    { distributionId, code: 'KEY_EXPIRES' },
    await readKeyExpiry(tx, distributionId, new Date()),
    'the newest release is signed by a key that lasts',
  );
