import type { Facts } from '../book.ts';
import { describeSteps, readStepTimes } from '../step-times.ts';
import type { Bench } from '../work.ts';
import type { World } from '../world.ts';

/** Times debgeo, and has Temporal say which activities took how long. */
export async function timeDebgeo(
  { book }: Bench,
  work: string,
  round: number,
  world: World,
  measured: () => Promise<number>,
  counted: Facts = {},
): Promise<void> {
  const since = Date.now();
  await book.time(work, 'debgeo', round, measured, async () => ({
    ...counted,
    ...describeSteps(await readStepTimes(world), since),
  }));
}
