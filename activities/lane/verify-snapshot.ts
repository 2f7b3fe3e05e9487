import { assertSettled, barrier } from '../../src/database/registry/barrier.ts';
import { countProgress } from '../../src/database/registry/progress.ts';
import { withHeartbeat } from '../context.ts';
import type { Deps } from '../deps.ts';
import { countsOf, beginStep, type StepAnswer, type StepInput } from './step.ts';

/**
 * The barrier: every immutable member of the generation is at the site and was read back right, and
 * there is more than none. Reads no blob. Given twice: judges again. `publishSnapshot` asks again
 * under its lock; this one answers early and without the site.
 * @throws NOT_VERIFIED, SNAPSHOT_EMPTY
 */
export const createVerifySnapshot =
  (deps: Deps) =>
  async (input: StepInput): Promise<StepAnswer> => {
    const step = await beginStep(deps, input);
    const judge = async (): Promise<StepAnswer> => {
      assertSettled(await barrier(deps.database.read, step.key), input.generation);
      return { more: false, repair: 0, row: await countProgress(deps.database, step.key) };
    };
    return withHeartbeat(step.context, () => countsOf(step.row), judge);
  };
