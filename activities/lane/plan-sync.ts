import { planBlobs } from '../../src/database/registry/plan-blobs.ts';
import { endStep } from '../../src/database/registry/progress.ts';
import { analyzeGrown } from '../../src/database/server/analyze.ts';
import type { Deps } from '../deps.ts';
import { inStep, type Step, type StepAnswer, type StepInput } from './step.ts';

/** The plan as an activity of its own: for runs that began before it was joined to syncBlobs. */
export const createPlanSync =
  (deps: Deps) =>
  (input: StepInput): Promise<StepAnswer> =>
    inStep(deps, input, async (step) => {
      await plan(deps, step);
      return { more: false, repair: 0, row: await endStep(deps.database, step.key) };
    });

/**
 * Writes into the registry what the site lacks of the generation, and gives failed blobs another
 * try. Reads and writes the database only. Given twice: plans the same again.
 * @throws PATH_CONFLICT, SNAPSHOT_EMPTY
 */
export async function plan(deps: Deps, { key }: Step): Promise<void> {
  await analyzeGrown(deps.database, ['paths', 'blobs', 'snapshot_blobs']);
  const { isLarge } = await deps.database.transaction((tx) => planBlobs(tx, key));
  if (isLarge) await analyzeGrown(deps.database, ['blob_registry']);
}
