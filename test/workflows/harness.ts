/** A worker with scripted activities in a Temporal namespace of its own. */
import type { Client } from '@temporalio/client';
import { pino } from 'pino';

import { connectTemporal, type TemporalConfig } from '../../src/temporal/connection.ts';
import { describeDistribution } from '../../src/temporal/describe.ts';
import type { WantedDistribution } from '../../src/temporal/reconcile.ts';
import { runWorker } from '../../src/worker/worker.ts';
import { freshNamespace, servers, workflowBundle } from '../support/servers.ts';
import { eventually } from './eventually.ts';
import { archiveQueue, siteQueue } from './scripted-rows.ts';
import { ScriptedWorld } from './stand-ins.ts';

export interface Harness {
  readonly world: ScriptedWorld;
  readonly client: Client;
  readonly config: TemporalConfig;
  /** Sites that have a worker; changes are seen within 100 ms. */
  readonly sites: Set<string>;
  /** Archives that have one. */
  readonly archives: Set<string>;
  /** The newest run: its id, and whether it is RUNNING, COMPLETED, … */
  run(distribution: string): Promise<{ runId: string; status: string }>;
  /** Every named site serves the newest generation. */
  synced(distribution: string, ...sites: string[]): Promise<void>;
  stop(): Promise<void>;
}

/** Distributions that should run and have seen their rows. */
export const wanted = (...names: readonly string[]): WantedDistribution[] =>
  names.map((name) => ({ name, isUnseen: false }));

export async function startHarness(sites: readonly string[]): Promise<Harness> {
  const config = { address: (await servers()).temporalAddress, namespace: await freshNamespace() };
  const world = new ScriptedWorld();
  const enabled = new Set(sites);
  const archives = new Set(['debian']);
  const worker = await runWorker({
    temporal: config,
    activities: world.activities,
    archives: async () => [...archives].map((archive) => ({ queue: archiveQueue(archive) })),
    sites: async () => [...enabled].map((site) => ({ queue: siteQueue(site) })),
    rollUp: async () => undefined,
    distributions: async () => [],
    prunes: async () => [],
    log: pino({ level: process.env['DEBGEO_LOG_LEVEL'] ?? 'silent' }),
    sitesMs: 100,
    graceMs: 200,
    codePath: await workflowBundle(),
  });
  const client = await connectTemporal(config);
  return {
    world,
    client,
    config,
    sites: enabled,
    archives,
    async run(distribution) {
      const found = await describeDistribution(client, distribution);
      if (found === null) throw new Error(`${distribution} never ran`);
      return found;
    },
    async synced(distribution, ...names) {
      const isSynced = (site: string): boolean => {
        const row = world.row(distribution, site);
        return (
          row.state === 'synced' && row.served === row.target && row.verifyRequestedAt === null
        );
      };
      await eventually(`${distribution} is synced at ${names.join(', ')}`, () =>
        names.every(isSynced),
      );
    },
    async stop() {
      await worker.shutdown();
      await client.connection.close();
    },
  };
}
