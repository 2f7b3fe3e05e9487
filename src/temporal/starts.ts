/**
 * Starts workflows, one per distribution and one per site. A workflow that runs already is left
 * alone.
 */
import type { Client } from '@temporalio/client';

import type { distribution as distributionWorkflow } from '../../workflows/distribution.ts';
import * as messages from '../../workflows/messages.ts';
import type { site as siteWorkflow } from '../../workflows/site.ts';
import { call } from './connection.ts';

/**
 * How the workflow of a distribution is started: alone, with a signal or with an Update. Temporal
 * forgets summary and details when a run continues as new: workflows/display.ts says where to read
 * on, too.
 */
export const distributionStart = (distribution: string) => ({
  workflowId: messages.workflowId(distribution),
  taskQueue: messages.QUEUE,
  args: [{ distribution }] as [messages.DistributionInput],
  workflowIdConflictPolicy: 'USE_EXISTING' as const,
  staticSummary: `keeps the sites of ${distribution} at the newest release`,
  staticDetails: [
    'Signals `pause`, `resume`, `retry`, `cancel`, `verify` act on every site, or with the input',
    '`{"site": "NAME"}` on one; `distributionChanged` looks at the archive now. They are what the',
    'commands of the same names send. Terminating this workflow loses nothing: a worker starts it',
    `again within a minute. Read on in ${messages.RUNBOOK}.`,
  ].join('\n'),
});

/** The same of a site. */
export const siteStart = (site: string) => ({
  workflowId: messages.siteWorkflowId(site),
  taskQueue: messages.QUEUE,
  args: [{ site }] as [messages.SiteInput],
  workflowIdConflictPolicy: 'USE_EXISTING' as const,
  staticSummary: `prunes and scrubs ${site}`,
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

/** Does nothing when it runs. */
export async function startSite(client: Client, site: string): Promise<void> {
  await call(client, () =>
    client.workflow.start<typeof siteWorkflow>(messages.SITE_WORKFLOW_TYPE, siteStart(site)),
  );
}
