/**
 * Starts workflows, one per distribution and one per site. A workflow that runs already is left
 * alone.
 */
import type { Client } from '@temporalio/client';

import type { distribution as distributionWorkflow } from '../../workflows/distribution.ts';
import * as messages from '../../workflows/messages.ts';
import type { site as siteWorkflow } from '../../workflows/site.ts';
import { call } from './connection.ts';

/** How the workflow of a distribution is started: alone, with a signal or with an Update. */
export const distributionStart = (distribution: string) => ({
  workflowId: messages.workflowId(distribution),
  taskQueue: messages.QUEUE,
  args: [{ distribution }] as [messages.DistributionInput],
  workflowIdConflictPolicy: 'USE_EXISTING' as const,
  staticSummary: `keeps the sites of ${distribution} at the newest release`,
});

/** The same of a site. */
export const siteStart = (site: string) => ({
  workflowId: messages.siteWorkflowId(site),
  taskQueue: messages.QUEUE,
  args: [{ site }] as [messages.SiteInput],
  workflowIdConflictPolicy: 'USE_EXISTING' as const,
  staticSummary: `prunes ${site}`,
});

/** Does nothing when it runs. */
export async function startDistribution(client: Client, distribution: string): Promise<void> {
  await call(client, () =>
    client.workflow.start<typeof distributionWorkflow>(
      messages.WORKFLOW_TYPE,
      distributionStart(distribution),
    ),
  );
}

async function startSite(client: Client, site: string): Promise<void> {
  await call(client, () =>
    client.workflow.start<typeof siteWorkflow>(messages.SITE_WORKFLOW_TYPE, siteStart(site)),
  );
}

/**
 * Rows are the truth, workflows follow: starts what should run and does not. One call per
 * distribution and per site; a workflow that runs notices nothing. A workflow that should not run
 * any more ends by itself: its row says so.
 */
export async function reconcile(
  client: Client,
  distributions: readonly string[],
  sites: readonly string[] = [],
): Promise<void> {
  const errors: unknown[] = [];
  const note = (error: unknown): void => void errors.push(error);
  for (const distribution of distributions)
    await startDistribution(client, distribution).catch(note);
  for (const site of sites) await startSite(client, site).catch(note);
  // Thrown after all had their turn: one that cannot start holds up no other.
  if (errors.length > 0) throw errors[0];
}
