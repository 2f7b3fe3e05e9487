/** Rows are the truth, workflows follow. */
import type { Client } from '@temporalio/client';

import { sendDistributionChanged } from './signals.ts';
import { startDistribution, startSite } from './starts.ts';

/** A distribution that should run, or whose workflow has to see that it should not. */
export interface WantedDistribution {
  readonly name: string;
  /** Its rows say something that the workflow was not given yet: the signal was lost, perhaps. */
  readonly isUnseen: boolean;
}

/**
 * Starts what should run and does not, and signals what has not seen its rows. One call per
 * distribution and per site; a workflow that runs and has seen everything notices nothing. One that
 * should not run any more ends by itself: its row says so.
 */
export async function reconcile(
  client: Client,
  distributions: readonly WantedDistribution[],
  sites: readonly string[] = [],
): Promise<void> {
  const errors: unknown[] = [];
  const note = (error: unknown): void => void errors.push(error);
  for (const { name, isUnseen } of distributions)
    await (isUnseen ? sendDistributionChanged : startDistribution)(client, name).catch(note);
  for (const site of sites) await startSite(client, site).catch(note);
  // Thrown after all had their turn: one that cannot start holds up no other.
  if (errors.length > 0) throw errors[0];
}
