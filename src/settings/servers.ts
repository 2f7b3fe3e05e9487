/**
 * Where the servers are: from the ecosystem's own names (DATABASE_URL, Temporal's environment
 * configuration), or from the stack of a kept demo or of `npm run dev`. Empty variables count as
 * unset: compose files produce them, and Temporal's loader would take them at their word.
 */
import { loadClientConnectConfig } from '@temporalio/envconfig';

import { DebgeoError } from '../domain/errors.ts';
import type { TemporalConfig } from '../temporal/connection.ts';
import { readStackFile, stackFolder } from './stack-file.ts';

export interface Config {
  readonly databaseUrl: string;
  readonly temporal: TemporalConfig;
}

export type StackKind = 'demo' | 'dev';

export const loadConfig = (
  stack: StackKind | null,
  environment: NodeJS.ProcessEnv = process.env,
): Config => (stack === null ? fromEnvironment(environment) : fromStack(stack));

const fromStack = (kind: StackKind): Config => {
  const urls = readStackFile(stackFolder(kind));
  return {
    databaseUrl: urls.databaseUrl,
    temporal: { address: urls.temporalAddress, namespace: 'default' },
  };
};

const fromEnvironment = (environment: NodeJS.ProcessEnv): Config => {
  const set: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment))
    if (value !== undefined && value !== '') set[name] = value;
  const databaseUrl = set['DATABASE_URL'];
  if (databaseUrl === undefined)
    throw new DebgeoError('CONFIG_INVALID', 'DATABASE_URL is not set', {
      expected:
        'DATABASE_URL=postgresql://user:password@host:5432/database, or --demo or --dev for the servers of this checkout',
      found: 'nothing',
    });
  if (!isPostgresUrl(databaseUrl))
    throw new DebgeoError('CONFIG_INVALID', 'DATABASE_URL is not the URL of a database', {
      expected:
        'postgresql://user:password@host:5432/database; special characters of a password as %40 and the like',
      found: 'something else (not shown, it may hold a password)',
    });
  return { databaseUrl, temporal: temporalFrom(set) };
};

const isPostgresUrl = (text: string): boolean => {
  const url = URL.parse(text);
  return (
    url !== null &&
    ['postgres:', 'postgresql:'].includes(url.protocol) &&
    /^\/[^/]+$/.test(url.pathname)
  );
};

const temporalFrom = (environment: Record<string, string>): TemporalConfig => {
  try {
    const { connectionOptions, namespace } = loadClientConnectConfig({
      overrideEnvVars: environment,
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
};
