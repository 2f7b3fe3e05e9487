/**
 * The environment variables of debgeo, as one table and its only reader; docs/configuration.md
 * shows the table. Others reach the process in two ways only: the credential of a site names a
 * variable (`src/site/credentials.ts`), and libraries read their own.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';

import { DebgeoError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';

type Variables = Readonly<Record<string, string | undefined>>;

interface Variable {
  readonly form: string;
  /** What holds while it is unset or empty. */
  readonly unset: string;
  readonly meaning: string;
}

/** A variable that debgeo reads itself. */
interface OwnVariable<T> extends Variable {
  /** Undefined: the text is not of this form. */
  readonly parse: (text: string) => T | undefined;
  readonly fallback: (variables: Variables) => T;
}

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Where a stack of demo or dev is kept unless DEBGEO_DATA_DIR says another folder. */
export const DATA_FOLDER = '.debgeo';

const DATABASE_URL: Variable = {
  form: '`postgresql://user:password@host:5432/database`',
  unset: 'required, but with `--demo` or `--dev`',
  meaning:
    'The database of debgeo; Temporal has databases of its own. Special characters of a password' +
    ' are written as `%40` and the like.',
};

const variable = (form: string, unset: string, meaning: string): Variable => ({
  form,
  unset,
  meaning,
});

/** `@temporalio/envconfig` reads these (servers.ts). */
const OF_TEMPORAL: Readonly<Record<string, Variable>> = {
  TEMPORAL_ADDRESS: variable('`host:port`', '`127.0.0.1:7233`', 'The frontend of Temporal.'),
  TEMPORAL_NAMESPACE: variable('a name', '`default`', 'The namespace of Temporal; it must exist.'),
  TEMPORAL_API_KEY: variable('a secret', 'none', 'API key of Temporal Cloud; turns TLS on.'),
  TEMPORAL_TLS: variable('`true` or `false`', 'as the profile says', 'TLS to Temporal.'),
  TEMPORAL_TLS_CLIENT_CERT_PATH: variable(
    'a path',
    'none',
    'Certificate of the client (mTLS), PEM.',
  ),
  TEMPORAL_TLS_CLIENT_CERT_DATA: variable('PEM', 'none', 'The same, as text.'),
  TEMPORAL_TLS_CLIENT_KEY_PATH: variable('a path', 'none', 'Key of the client (mTLS), PEM.'),
  TEMPORAL_TLS_CLIENT_KEY_DATA: variable('PEM, a secret', 'none', 'The same, as text.'),
  TEMPORAL_TLS_SERVER_CA_CERT_PATH: variable(
    'a path',
    "the system's",
    'Certificates that the server is checked with, PEM.',
  ),
  TEMPORAL_TLS_SERVER_CA_CERT_DATA: variable('PEM', "the system's", 'The same, as text.'),
  TEMPORAL_TLS_SERVER_NAME: variable(
    'a host name',
    'that of the address',
    'The name that the certificate of the server must have.',
  ),
  TEMPORAL_GRPC_META_: variable(
    'text',
    'none',
    'A prefix: each variable that begins with it adds one header to every call.',
  ),
  TEMPORAL_CONFIG_FILE: variable(
    'a path',
    "Temporal's usual place",
    "Temporal's configuration file (TOML) with profiles. The variables above win over it.",
  ),
  TEMPORAL_PROFILE: variable('a name', '`default`', 'The profile of that file.'),
};

/** `@azure/identity` reads these. */
const OF_AZURE: Readonly<Record<string, Variable>> = {
  AZURE_TOKEN_CREDENTIALS: variable(
    '`ManagedIdentityCredential` or another name of `@azure/identity`',
    'all of its places are asked in turn',
    'Where a site with `credential: default` gets its tokens. The other variables of' +
      ' `@azure/identity` work, too.',
  ),
  AZURE_CLIENT_ID: variable(
    'an id',
    'the one identity of the system',
    'The user-assigned managed identity, or the application of a service principal.',
  ),
  AZURE_TENANT_ID: variable('an id', 'none', 'The tenant of a service principal.'),
  AZURE_CLIENT_SECRET: variable('a secret', 'none', 'The secret of a service principal.'),
};

const own = <T>(variable: OwnVariable<T>): OwnVariable<T> => variable;

const MILLISECONDS_MAX = 999_999;
const milliseconds = (text: string): number | undefined =>
  /^\d{1,6}$/.test(text) ? Number(text) : undefined;

const path = (text: string): string => text;

const cacheFolder = (variables: Variables): string =>
  join(variables['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'debgeo');

const OWN = {
  DEBGEO_LOG_LEVEL: own<LogLevel>({
    form: '`trace`, `debug`, `info`, `warn`, `error`, `fatal` or `silent`',
    unset: '`info`',
    meaning: 'What a worker logs: one JSON object per line, to stderr.',
    parse: (text) => LOG_LEVELS.find((level) => level === text),
    fallback: () => 'info',
  }),
  DEBGEO_STOP_MS: own({
    form: `milliseconds, \`0\` to \`${MILLISECONDS_MAX}\``,
    unset: '`5000`',
    meaning:
      'How long a worker that is told to stop (SIGTERM, SIGINT) lets activities work on. Then it' +
      ' cuts them, commits what was copied and ends. Keep it below the time after which the' +
      ' process is killed: 10 s with Docker.',
    parse: milliseconds,
    fallback: () => 5_000,
  }),
  DEBGEO_SLICE_MS: own({
    form: `milliseconds, \`0\` to \`${MILLISECONDS_MAX}\``,
    unset: `\`${LIMITS.sliceMs}\``,
    meaning:
      'How long one activity copies or checks before it commits and the next one begins.' +
      ' For tests.',
    parse: milliseconds,
    fallback: () => LIMITS.sliceMs,
  }),
  DEBGEO_SPOOL_DIR: own({
    form: 'a path',
    unset: '`$XDG_CACHE_HOME/debgeo/spool`, else `~/.cache/debgeo/spool`',
    meaning:
      'Where a worker keeps what it read once for several sites, up to 8 GiB: on a disk, not in' +
      ' memory. The space is free again when the worker ends.',
    parse: path,
    fallback: (variables) => join(cacheFolder(variables), 'spool'),
  }),
  DEBGEO_DATA_DIR: own({
    form: 'a path',
    unset: `\`${DATA_FOLDER}\``,
    meaning: 'Where `npm run demo` and `npm run dev` keep their servers.',
    parse: path,
    fallback: () => DATA_FOLDER,
  }),
  DEBGEO_CACHE_DIR: own({
    form: 'a path',
    unset: '`$XDG_CACHE_HOME/debgeo`, else `~/.cache/debgeo`',
    meaning:
      'Where a worker keeps the code of its workflows for its next start, and demo, dev and tests' +
      ' the Temporal server that they downloaded or built.',
    parse: path,
    fallback: cacheFolder,
  }),
  DEBGEO_TEMPORAL_BINARY: own<string | null>({
    form: 'a path',
    unset: 'cache, `PATH`, download, build, in this order',
    meaning: 'The `temporal` program that demo, dev and tests start.',
    parse: path,
    fallback: () => null,
  }),
};

/** All of them, as docs/configuration.md shows them. */
export const ENVIRONMENT: Readonly<Record<string, Variable>> = {
  DATABASE_URL,
  ...OF_TEMPORAL,
  ...OF_AZURE,
  ...OWN,
};

/** Each under the name of its variable. Folders and programs are as given: relative ones, too. */
export type Environment = {
  readonly [Name in keyof typeof OWN]: ReturnType<(typeof OWN)[Name]['fallback']>;
};

interface Fault {
  readonly name: string;
  readonly problem: string;
  readonly expected: string;
  readonly found: string;
}

/** @throws CONFIG_INVALID with every fault at once */
export function readEnvironment(variables: Variables = process.env): Environment {
  const faults: Fault[] = [];
  const environment = readOwn(variables, faults);
  refuse(faults);
  return environment;
}

/**
 * The same with DATABASE_URL, which is required here. Where a stack is used it is not even judged:
 * other programs have a variable of this name, too.
 * @throws CONFIG_INVALID with every fault at once
 */
export function readServerEnvironment(
  variables: Variables = process.env,
): Environment & { readonly DATABASE_URL: string } {
  const faults: Fault[] = [];
  const url = readDatabaseUrl(variables, faults);
  const environment = readOwn(variables, faults);
  refuse(faults);
  return { DATABASE_URL: url, ...environment };
}

/** What is set and not empty, for libraries that would take an empty text at its word. */
export const setVariables = (variables: Variables = process.env): Record<string, string> =>
  Object.fromEntries(
    Object.entries(variables).flatMap(([name, text]) => (text ? [[name, text]] : [])),
  );

function readOwn(variables: Variables, faults: Fault[]): Environment {
  const read = ([name, variable]: [string, OwnVariable<unknown>]): [string, unknown] => {
    const text = variables[name];
    if (!text) return [name, variable.fallback(variables)];
    const value = variable.parse(text);
    if (value === undefined)
      faults.push({
        name,
        problem: 'is invalid',
        expected: variable.form.replaceAll('`', ''),
        found: text,
      });
    return [name, value];
  };
  return Object.fromEntries(Object.entries(OWN).map(read)) as Environment;
}

function readDatabaseUrl(variables: Variables, faults: Fault[]): string {
  const text = variables['DATABASE_URL'] ?? '';
  const form = DATABASE_URL.form.replaceAll('`', '');
  if (text === '')
    faults.push({
      name: 'DATABASE_URL',
      problem: 'is not set',
      expected: `${form}, or --demo or --dev for the servers of this checkout`,
      found: 'nothing',
    });
  else if (!isPostgresUrl(text))
    faults.push({
      name: 'DATABASE_URL',
      problem: 'is not the URL of a database',
      expected: `${form}; special characters of a password as %40 and the like`,
      found: 'something else (not shown, it may hold a password)',
    });
  return text;
}

function isPostgresUrl(text: string): boolean {
  const url = URL.parse(text);
  return (
    url !== null &&
    ['postgres:', 'postgresql:'].includes(url.protocol) &&
    /^\/[^/]+$/.test(url.pathname)
  );
}

function refuse(faults: readonly Fault[]): void {
  if (faults.length === 0) return;
  throw new DebgeoError(
    'CONFIG_INVALID',
    faults.map(({ name, problem }) => `${name} ${problem}`).join('; '),
    {
      expected: faults.map(({ name, expected }) => `${name}: ${expected}`),
      found: faults.map(({ name, found }) => `${name}: ${found}`),
    },
  );
}
