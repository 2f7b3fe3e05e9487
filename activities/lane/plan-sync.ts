import { planBlobs } from '../../src/database/registry/plan-blobs.ts';
import { readReplication } from '../../src/database/replication-row.ts';
import { analyzeGrown } from '../../src/database/server/analyze.ts';
import type { Replication } from '../../src/domain/replication.ts';
import { withHeartbeat } from '../context.ts';
import type { Deps } from '../deps.ts';
import { countsOf, beginStep, type Step, type StepAnswer, type StepInput } from './step.ts';

/** The plan as an activity of its own: for runs that began before it was joined to syncBlobs. */
export const createPlanSync =
  (deps: Deps) =>
  async (input: StepInput): Promise<StepAnswer> => {
    const step = await beginStep(deps, input);
    const work = async (): Promise<StepAnswer> => ({
      more: false,
      repair: 0,
      row: await plan(deps, step),
    });
    return withHeartbeat(step.context, () => countsOf(step.row), work);
  };

/**
 * Writes into the registry what the site lacks of the generation, and gives failed blobs another
 * try. Reads and writes the database only. Given twice: plans the same again.
 * @throws PATH_CONFLICT, SNAPSHOT_EMPTY
 */
export async function plan(deps: Deps, { key }: Step): Promise<Replication> {
  await analyzeGrown(deps.database, ['paths', 'blobs', 'snapshot_blobs']);
  const row = await deps.database.transaction(async (tx) => {
    await planBlobs(tx, key);
    return readReplication(tx, key);
  });
  await analyzeGrown(deps.database, ['blob_registry']);
  return row;
}
