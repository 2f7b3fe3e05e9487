/**
 * What of a PostgreSQL server decides whether debgeo can trust it; `judgeSettings` says what is
 * wrong, without I/O.
 */
import { sql } from 'kysely';

import type { ErrorReport } from '../../domain/errors.ts';
import { POOL_MAX, type Database } from '../orm.ts';
import { all } from '../sql.ts';

/** Older ones lack what the statements use, and are not tried. */
const VERSION_MIN = 15;
/**
 * Statements of large snapshots take minutes; what ends them sooner makes a large archive fail for
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
] as const;
/**
 * As `show` says them; timeouts in milliseconds, 0 is none. What a version does not know yet is
 * absent.
 */
export type Settings = Readonly<Partial<Record<(typeof NAMES)[number], string>>>;

export async function readSettings(database: Database): Promise<Settings> {
  const rows = await all(
    database.read,
    sql<{ name: string; setting: string }>`
    select name, setting from pg_settings where name = any(${[...NAMES]}::text[])`,
  );
  return Object.fromEntries(rows.map(({ name, setting }) => [name, setting]));
}

/** @param workers  processes that poll; each has a pool of its own, and commands come on top */
export function judgeSettings(settings: Settings, workers: number): ErrorReport[] {
  const wrong: ErrorReport[] = [];
  const fault = (message: string, expected: string, found: string): void =>
    void wrong.push({ code: 'CONFIG_INVALID', message, expected, found });
  const must = (
    name: keyof Settings,
    isRight: (value: string) => boolean,
    message: string,
    expected: string,
  ): void => {
    const value = settings[name];
    if (value !== undefined && !isRight(value)) fault(message, expected, `${name} = ${value}`);
  };
  const alter = (name: string, value: string): string =>
    `alter system set ${name} = '${value}'; select pg_reload_conf();`;

  const version = Number(settings.server_version_num ?? 0);
  if (version < VERSION_MIN * 10_000)
    fault(
      'this PostgreSQL is too old',
      `PostgreSQL ${VERSION_MIN} or newer`,
      settings.server_version ?? 'no version',
    );
  must(
    'in_hot_standby',
    (value) => value === 'off',
    'this server is a standby: it takes no writes',
    'DATABASE_URL of the primary server',
  );
  must(
    'default_transaction_read_only',
    (value) => value === 'off',
    'transactions are read only',
    alter('default_transaction_read_only', 'off'),
  );
  for (const name of ['fsync', 'full_page_writes'] as const)
    must(
      name,
      (value) => value === 'on',
      'a crash of this server can destroy its tables',
      alter(name, 'on'),
    );
  must(
    'synchronous_commit',
    (value) => value !== 'off',
    'a crash of this server forgets what it has acknowledged',
    alter('synchronous_commit', 'on'),
  );
  must(
    'default_transaction_isolation',
    (value) => value === 'read committed',
    'transactions of debgeo are written for read committed',
    alter('default_transaction_isolation', 'read committed'),
  );
  must(
    'server_encoding',
    (value) => value === 'UTF8',
    'names of files need UTF-8',
    "create database debgeo encoding 'UTF8' template template0;",
  );
  for (const name of ['statement_timeout', 'transaction_timeout'] as const)
    must(
      name,
      (value) => Number(value) === 0 || Number(value) >= STATEMENT_MS_MIN,
      'statements of large snapshots take minutes',
      `0 or at least ${STATEMENT_MS_MIN} ms: ${alter(name, '0')}`,
    );
  const connections =
    Number(settings.max_connections) - Number(settings.superuser_reserved_connections ?? 0);
  const needed = (workers + 1) * POOL_MAX;
  if (connections < needed)
    fault(
      `too few connections for ${workers} ${workers === 1 ? 'worker' : 'workers'} and the commands`,
      `at least ${needed}: alter system set max_connections = ${needed + 10}; and restart the server`,
      `${connections}`,
    );
  return wrong;
}
