/**
 * Settings of a PostgreSQL server that decide whether debgeo can trust it. `judgeSettings` is
 * without I/O.
 */
import { sql } from 'kysely';

import type { ErrorReport } from '../../domain/errors.ts';
import { POOL_MAX, type Database } from '../orm.ts';
import { all } from '../sql.ts';

/** Older versions lack what the statements use, and are not tested. */
const VERSION_MIN = 15;
/**
 * Statements of large snapshots take minutes; a limit below that makes a large archive fail for
 * ever.
 */
const STATEMENT_MS_MIN = 10 * 60_000;

const NAMES = [
  'server_version_num',
  'server_version',
  'fsync',
  'full_page_writes',
  'synchronous_commit',
  'default_transaction_isolation',
  'default_transaction_read_only',
  'in_hot_standby',
  'server_encoding',
  'max_connections',
  'superuser_reserved_connections',
  'statement_timeout',
  'transaction_timeout',
  'idle_in_transaction_session_timeout',
  'tcp_user_timeout',
] as const;
/**
 * As `show` says them; timeouts in milliseconds, 0: none. A setting that the version does not know
 * is absent.
 */
export type Settings = Readonly<Partial<Record<(typeof NAMES)[number], string>>>;

export async function readSettings(database: Database): Promise<Settings> {
  const rows = await all(
    database.read,
    sql<{ name: string; setting: string }>`
      select name, setting
      from pg_settings
      where name = any(${[...NAMES]}::text[])`,
  );
  return Object.fromEntries(rows.map(({ name, setting }) => [name, setting]));
}

/** How long others wait for a worker that froze, or is gone, as the sessions of debgeo ask for. */
export const patienceOf = (settings: Settings): string =>
  [
    ['a frozen transaction ends after', settings.idle_in_transaction_session_timeout],
    ['a lost client after', settings.tcp_user_timeout],
  ]
    .map(([what, wait]) => `${what} ${Number(wait) > 0 ? `${Number(wait) / 1_000} s` : 'ever'}`)
    .join(', ');

interface Rule {
  readonly name: keyof Settings;
  readonly isRight: (value: string) => boolean;
  readonly message: string;
  /** What is right, or what to type. */
  readonly expected: string;
}

const is = (right: string) => (value: string) => value === right;
const alter = (name: string, value: string): string =>
  `alter system set ${name} = '${value}'; select pg_reload_conf();`;

const noDamage = (name: 'fsync' | 'full_page_writes'): Rule => ({
  name,
  isRight: is('on'),
  message: 'a crash of this server can destroy its tables',
  expected: alter(name, 'on'),
});
const noTimeout = (name: 'statement_timeout' | 'transaction_timeout'): Rule => ({
  name,
  isRight: (value) => Number(value) === 0 || Number(value) >= STATEMENT_MS_MIN,
  message: 'statements of large snapshots take minutes',
  expected: `0 or at least ${STATEMENT_MS_MIN} ms: ${alter(name, '0')}`,
});

const RULES: readonly Rule[] = [
  {
    name: 'in_hot_standby',
    isRight: is('off'),
    message: 'this server is a standby: it takes no writes',
    expected: 'DATABASE_URL of the primary server',
  },
  {
    name: 'default_transaction_read_only',
    isRight: is('off'),
    message: 'transactions are read only',
    expected: alter('default_transaction_read_only', 'off'),
  },
  noDamage('fsync'),
  noDamage('full_page_writes'),
  {
    name: 'synchronous_commit',
    isRight: (value) => value !== 'off',
    message: 'a crash of this server forgets what it has acknowledged',
    expected: alter('synchronous_commit', 'on'),
  },
  {
    name: 'default_transaction_isolation',
    isRight: is('read committed'),
    message: 'transactions of debgeo are written for read committed',
    expected: alter('default_transaction_isolation', 'read committed'),
  },
  {
    name: 'server_encoding',
    isRight: is('UTF8'),
    message: 'names of files need UTF-8',
    expected: "create database debgeo encoding 'UTF8' template template0;",
  },
  noTimeout('statement_timeout'),
  noTimeout('transaction_timeout'),
];

/**
 * What is wrong with a server, the most basic first.
 * @param workers  processes that poll; each has a pool of its own, and commands come on top
 */
export function judgeSettings(settings: Settings, workers: number): ErrorReport[] {
  const wrong: ErrorReport[] = [];
  const fault = (message: string, expected: string, found: string): void =>
    void wrong.push({ code: 'CONFIG_INVALID', message, expected, found });

  const version = Number(settings.server_version_num ?? 0);
  if (version < VERSION_MIN * 10_000)
    fault(
      'this PostgreSQL is too old',
      `PostgreSQL ${VERSION_MIN} or newer`,
      settings.server_version ?? 'no version',
    );
  for (const { name, isRight, message, expected } of RULES) {
    const value = settings[name];
    if (value !== undefined && !isRight(value)) fault(message, expected, `${name} = ${value}`);
  }
  const connections =
    Number(settings.max_connections) - Number(settings.superuser_reserved_connections ?? 0);
  const needed = (workers + 1) * POOL_MAX;
  if (connections < needed)
    fault(
      `too few connections for ${workers} ${workers === 1 ? 'worker' : 'workers'} and the commands`,
      `at least ${needed}: alter system set max_connections = ${needed + 10}; ` +
        'and restart the server',
      `${connections}`,
    );
  return wrong;
}
