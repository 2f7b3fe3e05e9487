import { sql } from 'kysely';

import { REPLICATION_TRANSITIONS } from '../../domain/replication.ts';
import type { Tx } from '../orm.ts';
import { run } from '../sql.ts';
import { AWAITS_RELEASE } from './parked.ts';

const { from, to } = REPLICATION_TRANSITIONS.captured;

/**
 * A newer generation was captured: every lane wants it. What is paused or in work stays so. A lane
 * that failed for want of a better release, or is parked, tries again at once: the newer one may do
 * without the conflict. In SQL: one statement for all lanes, each by the state that it is in.
 */
export async function wantGeneration(
  tx: Tx,
  distributionId: number,
  generation: number,
): Promise<void> {
  await run(
    tx,
    sql`
      update distribution_replications r
      set desired_generation = ${generation},
        cancel_requested = false,
        state = case when state = any(${[...from]}::text[]) then ${to} else state end,
        retry_at = case when state = 'failed' and ${AWAITS_RELEASE} then now() else retry_at end
      where distribution_id = ${distributionId}
        and desired_generation < ${generation}`,
  );
}
