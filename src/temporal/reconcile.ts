/** Rows are the truth, workflows follow. */
import type { Client } from '@temporalio/client';

import { sendDistributionChanged, sendSiteChanged } from './signals.ts';
import { startDistribution, startSite } from './starts.ts';

/** A distribution that should run, or whose workflow has to see that it should not. */
export interface WantedDistribution {
  readonly name: string;
  /** Its rows say something that the workflow was not given yet: the signal was lost, perhaps. */
  readonly isUnseen: boolean;
  /** Its next look at the archive may be far away. */
  readonly rests?: boolean;
}

/**
 * Starts what should run and does not, and signals what has not seen its rows. One call per
 * distribution and per site; a workflow that runs and has seen everything notices nothing. One that
 * should not run any more ends by itself: its row says so.
 * @param atStart of a worker: the database may have been restored while none ran. Each site is
 *   asked whether it is as the rows say, and workflows that would not look soon compare rows
 */
export async function reconcile(
  client: Client,
  distributions: readonly WantedDistribution[],
  sites: readonly string[] = [],
  atStart = false,
): Promise<void> {
  const errors: unknown[] = [];
  const note = (error: unknown): void => void errors.push(error);
  for (const { name, isUnseen, rests } of distributions) {
    const tell = isUnseen || (atStart && rests) ? sendDistributionChanged : startDistribution;
    await tell(client, name).catch(note);
  }
  for (const site of sites) await (atStart ? sendSiteChanged : startSite)(client, site).catch(note);
  // Thrown after all had their turn: one that cannot start holds up no other.
  if (errors.length > 0) throw errors[0];
}
