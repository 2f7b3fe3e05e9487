import { planBlobs } from '../../src/database/registry/plan-blobs.ts';
import { readReplication } from '../../src/database/replication-row.ts';
import { analyzeGrown } from '../../src/database/server/analyze.ts';
import { withHeartbeat } from '../context.ts';
import type { Deps } from '../deps.ts';
import { countsOf, beginStep, type StepAnswer, type StepInput } from './step.ts';

/**
 * Writes into the registry what the site lacks of the generation, and gives failed blobs another
 * try. Reads and writes the database only. Given twice: plans the same again.
 * @throws PATH_CONFLICT, SNAPSHOT_EMPTY
 */
export const createPlanSync =
  (deps: Deps) =>
  async (input: StepInput): Promise<StepAnswer> => {
    const step = await beginStep(deps, input);
    const plan = async (): Promise<StepAnswer> => {
      await analyzeGrown(deps.database, ['paths', 'blobs', 'snapshot_blobs']);
      const answer = await deps.database.transaction(async (tx) => {
        await planBlobs(tx, step.key);
        return { more: false, repair: 0, row: await readReplication(tx, step.key) };
      });
      await analyzeGrown(deps.database, ['blob_registry']);
      return answer;
    };
    return withHeartbeat(step.context, () => countsOf(step.row), plan);
  };
