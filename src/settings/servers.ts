/**
 * Where the servers are: from the ecosystem's own names (DATABASE_URL, Temporal's environment
 * configuration), or from the stack of a kept demo or of `npm run dev`. Empty variables count as
 * unset: compose files produce them, and Temporal's loader would take them at their word.
 */
import { loadClientConnectConfig } from '@temporalio/envconfig';

import { DebgeoError } from '../domain/errors.ts';
import type { TemporalConfig } from '../temporal/connection.ts';
import { readServerEnvironment, setVariables } from './environment.ts';
import { readStackFile, stackFolder, type StackKind } from './stack-file.ts';

export interface Config {
  readonly databaseUrl: string;
  readonly temporal: TemporalConfig;
}

/**
 * @param stack null: the servers that the environment names
 * @throws CONFIG_INVALID
 */
export function loadConfig(stack: StackKind | null): Config {
  if (stack === null) {
    const { DATABASE_URL: databaseUrl } = readServerEnvironment();
    return { databaseUrl, temporal: readTemporalConfig() };
  }
  const { databaseUrl, temporalAddress } = readStackFile(stackFolder(stack));
  return { databaseUrl, temporal: { address: temporalAddress, namespace: 'default' } };
}

function readTemporalConfig(): TemporalConfig {
  try {
    const { connectionOptions, namespace } = loadClientConnectConfig({
      overrideEnvVars: setVariables(),
    });
    return {
      ...connectionOptions,
      address: connectionOptions.address ?? '127.0.0.1:7233',
      namespace: namespace ?? 'default',
    };
  } catch (error) {
    // The first line alone: a parser's excerpt of the file may show a key.
    const found = String(error instanceof Error ? error.message : error).split('\n')[0]!;
    throw new DebgeoError('CONFIG_INVALID', "Temporal's configuration cannot be read", {
      expected:
        'TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and the like, or a profile of its configuration file',
      found,
    });
  }
}
