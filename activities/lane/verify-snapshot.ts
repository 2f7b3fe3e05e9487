import { assertSettled, barrier } from '../../src/database/registry/barrier.ts';
import { endStep } from '../../src/database/registry/progress.ts';
import type { Deps } from '../deps.ts';
import { inStep, type StepAnswer, type StepInput } from './step.ts';

/**
 * The barrier: every immutable member of the generation is at the site and was read back right, and
 * there is more than none. Reads no blob. Given twice: judges again. `publishSnapshot` asks again
 * under its lock; this one answers early and without the site.
 * @throws NOT_VERIFIED, SNAPSHOT_EMPTY
 */
export const createVerifySnapshot =
  (deps: Deps) =>
  (input: StepInput): Promise<StepAnswer> =>
    inStep(deps, input, async ({ key }) => {
      assertSettled(await barrier(deps.database.read, key), input.generation);
      return { more: false, repair: 0, row: await endStep(deps.database, key, 'anew') };
    });
