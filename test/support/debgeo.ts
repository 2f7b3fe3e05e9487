/**
 * The commands as an operator runs them: processes of their own, told by their environment where
 * the servers of a world are.
 */
import { join } from 'node:path';

import { runNode, type Ran } from './child.ts';
import type { World } from './world.ts';

export const MAIN = join(import.meta.dirname, '../../src/main.ts');

export const environmentOf = (
  world: Pick<World, 'databaseUrl' | 'temporalAddress' | 'namespace'>,
): NodeJS.ProcessEnv => ({
  DATABASE_URL: world.databaseUrl,
  TEMPORAL_ADDRESS: world.temporalAddress,
  TEMPORAL_NAMESPACE: world.namespace,
});

/** `debgeo COMMAND` without any world, its words separated by one space each. */
export const runDebgeo = (command: string, environment: NodeJS.ProcessEnv = {}): Promise<Ran> =>
  runNode(MAIN, command.split(' '), environment);

/** @param command as `runDebgeo` takes it, or its words where one of them has a space */
export const debgeo = (
  world: World,
  command: string | readonly string[],
  environment: NodeJS.ProcessEnv = {},
): Promise<Ran> =>
  runNode(MAIN, typeof command === 'string' ? command.split(' ') : command, {
    ...environmentOf(world),
    ...environment,
  });
