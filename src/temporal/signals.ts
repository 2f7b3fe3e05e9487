/**
 * Signals: durable once a call returns, with or without a worker. Each starts its workflow where
 * none runs, and carries nothing that the workflow trusts: a name of a site at most.
 */
import type { Client } from '@temporalio/client';

import type { distribution as distributionWorkflow } from '../../workflows/distribution.ts';
import * as messages from '../../workflows/messages.ts';
import type { site as siteWorkflow } from '../../workflows/site.ts';
import { call } from './connection.ts';
import { distributionStart, siteStart } from './starts.ts';

export type CommandName = 'retry' | 'cancel' | 'pause' | 'resume';

/** A row changed, or the archive says that it released. */
export const sendDistributionChanged = (client: Client, distribution: string): Promise<void> =>
  send(client, distribution, 'distributionChanged');

/** To all lanes, or to that of one site. */
export const sendCommand = (
  client: Client,
  command: CommandName,
  distribution: string,
  site?: string,
): Promise<void> => send(client, distribution, command, site);

/** Reads every blob back, at all sites or at one. */
export const sendVerify = (client: Client, distribution: string, site?: string): Promise<void> =>
  send(client, distribution, 'verify', site);

/** For callers that do not wait for the prune. */
export async function sendPrune(client: Client, site: string): Promise<void> {
  await call(client, () =>
    client.workflow.signalWithStart<typeof siteWorkflow, []>(messages.SITE_WORKFLOW_TYPE, {
      ...siteStart(site),
      signal: messages.pruneNow,
      signalArgs: [],
    }),
  );
}

/** The rows of a site changed: it was paused or resumed, or a scrub is asked for. */
export async function sendSiteChanged(client: Client, site: string): Promise<void> {
  await call(client, () =>
    client.workflow.signalWithStart<typeof siteWorkflow, []>(messages.SITE_WORKFLOW_TYPE, {
      ...siteStart(site),
      signal: messages.siteChanged,
      signalArgs: [],
    }),
  );
}

async function send(
  client: Client,
  distribution: string,
  signal: messages.SignalName,
  site?: string,
): Promise<void> {
  await call(client, () =>
    client.workflow.signalWithStart<typeof distributionWorkflow, [messages.SiteArgument?]>(
      messages.WORKFLOW_TYPE,
      {
        ...distributionStart(distribution),
        signal,
        signalArgs: site === undefined ? [] : [{ site }],
      },
    ),
  );
}
