import { planBlobs } from '../../src/database/registry/plan-blobs.ts';
import { readReplication } from '../../src/database/replications/replications.ts';
import { analyzeGrown } from '../../src/database/server/analyze.ts';
import { withHeartbeat } from '../context.ts';
import type { Deps } from '../deps.ts';
import { countsOf, startLane, type StepAnswer, type StepInput } from './lane.ts';

/**
 * Writes into the registry what the site lacks of the generation, and gives failed blobs another
 * try. Touches nothing but the database. Given twice: plans the same again.
 * @throws PATH_CONFLICT, SNAPSHOT_EMPTY
 */
export const createPlanSync =
  (deps: Deps) =>
  async (input: StepInput): Promise<StepAnswer> => {
    const lane = await startLane(deps, input);
    const plan = async (): Promise<StepAnswer> => {
      await analyzeGrown(deps.database, ['paths', 'blobs', 'snapshot_blobs']);
      const answer = await deps.database.transaction(async (tx) => {
        await planBlobs(tx, lane.key);
        return { more: false, repair: 0, row: (await readReplication(tx, lane.at)) ?? lane.row };
      });
      await analyzeGrown(deps.database, ['blob_registry']);
      return answer;
    };
    return withHeartbeat(lane.context, () => countsOf(lane.row), plan);
  };
