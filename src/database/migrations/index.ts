import { Migration20261123ByteRates } from './2026-11-23-byte-rates.ts';
import { Migration20261123FirstTables } from './2026-11-23-first-tables.ts';
import { Migration20261123OlderAcceptances } from './2026-11-23-older-acceptances.ts';
import { Migration20261123Prunes } from './2026-11-23-prunes.ts';
import { Migration20261123RegistryUpdates } from './2026-11-23-registry-updates.ts';
import { Migration20261123StaleAfter } from './2026-11-23-stale-after.ts';
import { Migration20261130Claims } from './2026-11-30-claims.ts';
import { Migration20261130Deployments } from './2026-11-30-deployments.ts';
import { Migration20261130Scrubs } from './2026-11-30-scrubs.ts';
import { Migration20261130SeenRev } from './2026-11-30-seen-rev.ts';
import { Migration20261130Tombstones } from './2026-11-30-tombstones.ts';
import { Migration20261201GivenUp } from './2026-12-01-given-up.ts';
import { Migration20261201HeldFiles } from './2026-12-01-held-files.ts';
import { Migration20261201Restores } from './2026-12-01-restores.ts';
import { Migration20261201Wake } from './2026-12-01-wake.ts';
import { Migration20261202ArchiveAccess } from './2026-12-02-archive-access.ts';
import { Migration20261202KeyExpiry } from './2026-12-02-key-expiry.ts';

/** In order; the name is what the database remembers: never rename one that was released. */
export const MIGRATIONS = [
  { name: '2026-11-23-first-tables', class: Migration20261123FirstTables },
  { name: '2026-11-23-older-acceptances', class: Migration20261123OlderAcceptances },
  { name: '2026-11-23-stale-after', class: Migration20261123StaleAfter },
  { name: '2026-11-23-prunes', class: Migration20261123Prunes },
  { name: '2026-11-23-byte-rates', class: Migration20261123ByteRates },
  { name: '2026-11-23-registry-updates', class: Migration20261123RegistryUpdates },
  { name: '2026-11-30-claims', class: Migration20261130Claims },
  { name: '2026-11-30-seen-rev', class: Migration20261130SeenRev },
  { name: '2026-11-30-tombstones', class: Migration20261130Tombstones },
  { name: '2026-11-30-deployments', class: Migration20261130Deployments },
  { name: '2026-11-30-scrubs', class: Migration20261130Scrubs },
  { name: '2026-12-01-given-up', class: Migration20261201GivenUp },
  { name: '2026-12-01-held-files', class: Migration20261201HeldFiles },
  { name: '2026-12-01-restores', class: Migration20261201Restores },
  { name: '2026-12-01-wake', class: Migration20261201Wake },
  { name: '2026-12-02-archive-access', class: Migration20261202ArchiveAccess },
  { name: '2026-12-02-key-expiry', class: Migration20261202KeyExpiry },
];
