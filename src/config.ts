/**
 * Where the servers are: from the ecosystem's own names (DATABASE_URL, Temporal's environment configuration), or from the stack of a kept demo
 * or of `npm run dev`. Empty variables count as unset: compose files produce them, and Temporal's loader would take them at their word.
 */
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { DebgeoError } from './domain/errors.ts';
import { readStackFile, stackFolder } from './stack/stack-file.ts';
import type { TemporalConfig } from './temporal.ts';

export interface Config {
  readonly databaseUrl: string;
  readonly temporal: TemporalConfig;
}

export type StackKind = 'demo' | 'dev';

export const loadConfig = (stack: StackKind | null, environment: NodeJS.ProcessEnv = process.env): Config =>
  stack === null ? fromEnvironment(environment) : fromStack(stack);

const fromStack = (kind: StackKind): Config => {
  const urls = readStackFile(stackFolder(kind));
  return { databaseUrl: urls.databaseUrl, temporal: { address: urls.temporalAddress, namespace: 'default' } };
};

const fromEnvironment = (environment: NodeJS.ProcessEnv): Config => {
  const set: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) if (value !== undefined && value !== '') set[name] = value;
  const databaseUrl = set['DATABASE_URL'];
  if (databaseUrl === undefined)
    throw new DebgeoError('CONFIG_INVALID', 'DATABASE_URL is not set', {
      expected: 'DATABASE_URL=postgresql://user:password@host:5432/database, or --demo or --dev for the servers of this checkout',
      found: 'nothing',
    });
  const { connectionOptions, namespace } = loadClientConnectConfig({ overrideEnvVars: set });
  return {
    databaseUrl,
    temporal: { ...connectionOptions, address: connectionOptions.address ?? '127.0.0.1:7233', namespace: namespace ?? 'default' },
  };
};
