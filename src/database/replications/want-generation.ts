import { sql } from 'kysely';

import { REPLICATION_TRANSITIONS } from '../../domain/replication.ts';
import type { Tx } from '../orm.ts';
import { run } from '../sql.ts';

const { from, to } = REPLICATION_TRANSITIONS.captured;

/**
 * A newer generation was captured: every lane wants it. What is parked, paused or in work stays so;
 * its retry count, too. In SQL: one statement for all lanes, each by the state that it is in.
 */
export async function wantGeneration(
  tx: Tx,
  distributionId: number,
  generation: number,
): Promise<void> {
  await run(
    tx,
    sql`
      update distribution_replications
      set desired_generation = ${generation},
        cancel_requested = false,
        state = case when state = any(${[...from]}::text[]) then ${to} else state end
      where distribution_id = ${distributionId}
        and desired_generation < ${generation}`,
  );
}
