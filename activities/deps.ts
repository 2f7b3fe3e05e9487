import type { Logger } from 'pino';
import type { Archive } from '../src/archive/archive.ts';
import type { DistributionRecord } from '../src/database/catalog.ts';
import type { Database } from '../src/database/orm.ts';
import type { SiteStore } from '../src/site/site-store.ts';

/** All that activities reach. Joined in src/deps.ts and nowhere else. */
export interface Deps {
  readonly database: Database;
  archiveOf(archive: DistributionRecord['archive']): Archive;
  /** @throws NAME_UNKNOWN, SITE_CREDENTIAL_MISSING */
  siteOf(name: string): Promise<{ readonly id: number; readonly name: string; readonly publicUrl: string; readonly store: SiteStore }>;
  /** How long one sync or checksum activity works; LIMITS.sliceMs unless given. Milliseconds. */
  readonly sliceMs?: number;
  readonly log: Logger;
}
