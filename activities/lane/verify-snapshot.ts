import { assertSettled, barrier, countProgress } from '../../src/database/registry/registry.ts';
import { withHeartbeat } from '../context.ts';
import type { Deps } from '../deps.ts';
import { countsOf, startLane, type StepAnswer, type StepInput } from './lane.ts';

/**
 * The barrier: every immutable member of the generation is at the site and was read back right, and
 * there is more than none. Reads no blob. Given twice: judges again. `publishSnapshot` asks once
 * more under its lock; this one answers early and without the site.
 * @throws NOT_VERIFIED, SNAPSHOT_EMPTY
 */
export const createVerifySnapshot =
  (deps: Deps) =>
  async (input: StepInput): Promise<StepAnswer> => {
    const lane = await startLane(deps, input);
    const judge = async (): Promise<StepAnswer> => {
      assertSettled(await barrier(deps.database.read, lane.key), input.generation);
      return { more: false, repair: 0, row: await countProgress(deps.database, lane.key) };
    };
    return withHeartbeat(lane.context, () => countsOf(lane.row), judge);
  };
