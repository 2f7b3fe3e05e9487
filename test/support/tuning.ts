import { sql } from 'kysely';

import type { Database } from '../../src/database/orm.ts';
import { run } from '../../src/database/sql.ts';
import type { ArchiveLogin } from '../../src/domain/archive-login.ts';
import type { CredentialReference } from '../../src/site/credentials.ts';

/** Times in milliseconds. */
export interface Tuning {
  /** Of every distribution. */
  readonly suite?: string;
  readonly pollMs?: number;
  readonly staleAfterMs?: number | null;
  readonly acceptUndated?: boolean;
  /** What gathering, draining and trying again wait for; replaces what was there. */
  readonly waits?: Readonly<Record<string, number>>;
  /** Of the archive. */
  readonly archiveUrl?: string;
  readonly keyring?: Uint8Array;
  readonly login?: ArchiveLogin | null;
  readonly redirectOrigins?: readonly string[];
  /** Of every site. */
  readonly graceMs?: number;
  readonly keptGenerations?: number;
  readonly credential?: CredentialReference;
}

const COLUMNS: Readonly<Record<keyof Tuning, readonly [table: string, column: string]>> = {
  suite: ['debian_distributions', 'suite'],
  pollMs: ['debian_distributions', 'poll_interval_ms'],
  staleAfterMs: ['debian_distributions', 'stale_after_ms'],
  acceptUndated: ['debian_distributions', 'accept_undated'],
  waits: ['debian_distributions', 'tuning'],
  archiveUrl: ['archives', 'url'],
  keyring: ['archives', 'keyring'],
  login: ['archives', 'login'],
  redirectOrigins: ['archives', 'redirect_origins'],
  graceMs: ['replication_sites', 'grace_ms'],
  keptGenerations: ['replication_sites', 'kept_generations'],
  credential: ['replication_sites', 'credential'],
};

/**
 * Writes settings into the rows of every archive, distribution and site, or of the one that is
 * named: shorter times than a configuration may say, and what `apply` would follow by a look.
 */
export async function tune(database: Database, tuning: Tuning, name?: string): Promise<void> {
  for (const [key, value] of Object.entries(tuning)) {
    const [table, column] = COLUMNS[key as keyof Tuning];
    await run(
      database.read,
      sql`
        update ${sql.table(table)}
        set ${sql.ref(column)} = ${value}
        where name = coalesce(${name ?? null}, name)`,
    );
  }
}
