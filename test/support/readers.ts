/** An apt per site that reads the whole distribution all the time, until stopped. */
import { createHash } from 'node:crypto';

import { startClientLoop, type Cycle } from '../../src/witness/client-loop.ts';
import type { World } from './world.ts';

export interface Readers {
  readonly cycles: () => number;
  stop(): Promise<{
    readonly cycles: readonly Cycle[];
    readonly failures: readonly string[];
    readonly overlaps: number;
  }>;
}

export async function readAllTheTime(world: World, suite: string = world.suite): Promise<Readers> {
  const loops = await Promise.all(
    [...world.sites.values()].map(async (site) => {
      const client = await site.apt(suite);
      const inSuite = (name: string): Promise<Response> =>
        fetch(`${site.aptUrl}/dists/${suite}/${name}`);
      return startClientLoop({
        client,
        expected: (name) => world.releasedSha256(name),
        served: async () => {
          const inRelease = await inSuite('InRelease');
          const answer = inRelease.ok ? inRelease : await inSuite('Release');
          return createHash('sha256')
            .update(new Uint8Array(await answer.arrayBuffer()))
            .digest('hex');
        },
      });
    }),
  );
  let stopped: Promise<readonly (readonly Cycle[])[]> | undefined;
  const stopAll = (): Promise<readonly (readonly Cycle[])[]> =>
    (stopped ??= Promise.all(loops.map((loop) => loop.stop())));
  world.beforeStop(stopAll);
  return {
    cycles: () => loops.reduce((sum, loop) => sum + loop.cycles.length, 0),
    stop: async () => {
      const cycles = (await stopAll()).flat();
      return {
        cycles,
        failures: cycles.flatMap((cycle) => cycle.failure ?? []),
        overlaps: cycles.filter((cycle) => cycle.overlapped).length,
      };
    },
  };
}
