/**
 * The environment variables of debgeo, as one table and its only reader; docs/configuration.md
 * shows the table. Others reach the process in two ways only: the credential of a site or the login
 * of an archive names a variable (`src/secrets/`), and libraries read their own.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';

import { DebgeoError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import { OF_AZURE, OF_TEMPORAL, type Variable } from './library-variables.ts';
import { hosts, milliseconds, MILLISECONDS_MAX, path, proxy } from './variable-forms.ts';

type Variables = Readonly<Record<string, string | undefined>>;

/** A variable that debgeo reads itself. */
interface OwnVariable<T> extends Variable {
  /** Undefined: the text is not of this form. */
  readonly parse: (text: string) => T | undefined;
  readonly fallback: (variables: Variables) => T;
  /** It may hold a password: what was found is not shown. */
  readonly isSecret?: true;
  /** Another spelling, which wins. */
  readonly also?: string;
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

const own = <T>(variable: OwnVariable<T>): OwnVariable<T> => variable;

const proxyFor = (scheme: string, name: string): OwnVariable<string | null> => ({
  form: '`http://host:port` or `http://user:password@host:port`',
  unset: 'none',
  meaning:
    `The proxy for archives with ${scheme}; \`${name.toLowerCase()}\` wins over it. This machine` +
    ' is asked straight. Special characters of a password are written as `%40` and the like.',
  parse: proxy,
  fallback: () => null,
  isSecret: true,
  also: name.toLowerCase(),
});

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
  DEBGEO_SECRETS_DIR: own<string | null>({
    form: 'a path',
    unset: 'any file may be named',
    meaning:
      'The folder that files of secrets lie in: a credential or login that names a file elsewhere' +
      ' is refused, also through a link. Relative paths begin there.',
    parse: path,
    fallback: () => null,
  }),
  DEBGEO_ARCHIVES_DIR: own<string | null>({
    form: 'a path',
    unset: 'any folder may be an archive',
    meaning:
      'The folder that archives with `file:///PATH` lie in: one elsewhere is refused, also' +
      ' through a link.',
    parse: path,
    fallback: () => null,
  }),
  DEBGEO_STORAGE_HOSTS: own<readonly string[]>({
    form: '`host` or `host:port`, with commas between',
    unset: 'none',
    meaning:
      'Hosts that a SAS or a token of an identity may go to, beside the blob endpoints of Azure' +
      ' and this machine; a SAS over http, too.',
    parse: hosts,
    fallback: () => [],
  }),
  HTTP_PROXY: proxyFor('http', 'HTTP_PROXY'),
  HTTPS_PROXY: proxyFor('https', 'HTTPS_PROXY'),
  NO_PROXY: own<string | null>({
    form: '`host`, `host:port`, `.domain` or `*`, with commas between',
    unset: 'none',
    meaning: 'Archives that are asked without a proxy; `no_proxy` wins over it.',
    parse: (text) => text,
    fallback: () => null,
    also: 'no_proxy',
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

const NOT_SHOWN = 'something else (not shown, it may hold a password)';

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
    const text = (variable.also && variables[variable.also]) || variables[name];
    if (!text) return [name, variable.fallback(variables)];
    const value = variable.parse(text);
    if (value === undefined)
      faults.push({
        name,
        problem: 'is invalid',
        expected: variable.form.replaceAll('`', ''),
        found: variable.isSecret ? NOT_SHOWN : text,
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
      found: NOT_SHOWN,
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
