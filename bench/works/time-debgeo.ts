import type { Facts } from '../book.ts';
import type { Installation } from '../installation.ts';
import { describeSteps, readStepTimes } from '../step-times.ts';
import type { Bench } from '../work.ts';

/** Times debgeo, and books how long each of its activities took, as Temporal recorded it. */
export async function timeDebgeo(
  { book }: Bench,
  work: string,
  round: number,
  installation: Installation,
  measured: () => Promise<number>,
  counted: Facts = {},
): Promise<void> {
  const since = Date.now();
  await book.time(work, 'debgeo', round, measured, async () => ({
    ...counted,
    ...describeSteps(await readStepTimes(installation), since),
  }));
}
