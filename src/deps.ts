/** Joins archive, site, spool and database to what activities reach. No other file does. */
import { createHash } from 'node:crypto';

import type { Logger } from 'pino';

import type { Deps } from '../activities/deps.ts';
import type { Archive } from './archive/archive.ts';
import { createDirectoryArchive } from './archive/directory-archive.ts';
import { createHttpArchive } from './archive/http-archive.ts';
import { loadLogin } from './archive/login.ts';
import { readSite } from './database/configuration/sites.ts';
import type { ReplicationSite } from './database/entities/replication-site.ts';
import { connectDatabase, type Database } from './database/orm.ts';
import { assertMigrated } from './database/server/migrate.ts';
import { LIMITS } from './domain/limits.ts';
import type { RepoPath } from './domain/repo-path.ts';
import { createLog } from './log.ts';
import { Secrets } from './secrets/secrets.ts';
import { type Environment, readEnvironment } from './settings/environment.ts';
import type { Config } from './settings/servers.ts';
import type { AzureSite } from './site/azure-container.ts';
import { createAzureSiteStore, type AzureSiteStore } from './site/azure-site-store.ts';
import { type CredentialSource, fingerprintOf, loadCredential } from './site/credentials.ts';
import { inspectAzureSite } from './site/inspect-site.ts';
import { judgeSite, type SiteJudgement } from './site/judge-site.ts';
import { Memory } from './site/memory.ts';
import { Pace } from './site/pace.ts';
import { Spool } from './spool/spool.ts';

export interface JoinedDeps extends Deps {
  /** Asks the storage behind a site, and its blob at `path`, and judges what it answers. */
  inspectSite(name: string, path: RepoPath, signal: AbortSignal): Promise<SiteJudgement>;
  close(): Promise<void>;
}

/** @throws CONFIG_INVALID, DATABASE_UNREACHABLE, SCHEMA_OUTDATED */
export const createDeps = async (
  config: Pick<Config, 'databaseUrl'>,
  log: Logger = createLog(),
): Promise<JoinedDeps> => {
  const environment = readEnvironment();
  const database = await connectDatabase(config.databaseUrl);
  try {
    await assertMigrated(database);
  } catch (error) {
    await database.close();
    throw error;
  }
  const spool = new Spool(environment.DEBGEO_SPOOL_DIR, (error) =>
    log.warn({ error }, 'the spool takes nothing: each site reads for itself'),
  );
  const source = {
    secrets: new Secrets(process.env, environment.DEBGEO_SECRETS_DIR),
    storageHosts: environment.DEBGEO_STORAGE_HOSTS,
  };
  const archives = new Map<string, OpenArchive>();
  return {
    database,
    log,
    spool,
    sliceMs: environment.DEBGEO_SLICE_MS,
    archiveOf: createArchives(archives, source.secrets, environment),
    siteOf: createSites(database, source),
    inspectSite: async (name, path, signal) => {
      const row = await readSite(database.read, name);
      const place = placeOf(row);
      return judgeSite(
        place,
        await inspectAzureSite(
          place,
          await loadCredential(row.credential, row.accountUrl, source),
          path,
          signal,
        ),
      );
    },
    close: async () => {
      spool.close();
      await Promise.all([...archives.values()].map(({ archive }) => archive.close()));
      await database.close();
    },
  };
};

interface OpenArchive {
  readonly key: string;
  readonly archive: Archive;
}

/** One per name: where its configuration or its secret changed, another one takes its place. */
function createArchives(
  open: Map<string, OpenArchive>,
  secrets: Secrets,
  environment: Environment,
): Deps['archiveOf'] {
  // asked for each file, with the one record of a step
  const digests = new WeakMap<Uint8Array, string>();
  const digestOf = (ca: Uint8Array): string => {
    const digest = digests.get(ca) ?? createHash('sha256').update(ca).digest('hex');
    digests.set(ca, digest);
    return digest;
  };
  return async (record) => {
    // read each time: a rotated secret is used without a restart
    const login = record.login && (await loadLogin(record.login, record, secrets));
    const { url, redirectOrigins, ca, privateNetwork, insecure } = record;
    const trust = ca && digestOf(ca);
    const as = [record.login, login?.fingerprint, privateNetwork, insecure];
    const key = JSON.stringify([url, redirectOrigins, trust, ...as]);
    const known = open.get(record.name);
    if (known?.key === key) return known.archive;
    const archive = url.startsWith('file:')
      ? createDirectoryArchive({ url, below: environment.DEBGEO_ARCHIVES_DIR })
      : createHttpArchive({
          url,
          privateNetwork,
          redirectOrigins,
          as: login,
          ca,
          proxies: environment,
        });
    open.set(record.name, { key, archive });
    // What is being read of the one before is read to its end.
    await known?.archive.close();
    return archive;
  };
}

/** One store and one pace per site; all sites of the worker share its memory for bytes. */
function createSites(database: Database, source: CredentialSource): Deps['siteOf'] {
  const stores = new Map<string, { readonly key: string; readonly store: AzureSiteStore }>();
  const memory = new Memory(LIMITS);
  const paces = new Map<string, Pace>();
  return async (name, archive) => {
    const row = await readSite(database.read, name);
    // read each time: a rotated secret is used without a restart
    const credential = await loadCredential(row.credential, row.accountUrl, source);
    const key = JSON.stringify([
      row.accountUrl,
      row.container,
      row.prefix,
      fingerprintOf(credential),
    ]);
    const known = stores.get(name);
    const pace = paces.get(name) ?? new Pace(LIMITS);
    paces.set(name, pace);
    pace.limitTo(row.bytesPerSecond ?? null);
    const store =
      known?.key === key
        ? known.store
        : createAzureSiteStore(placeOf(row), credential, LIMITS, { pace, memory });
    stores.set(name, { key, store });
    return {
      id: row.id,
      name,
      publicUrl: row.publicUrl,
      anchorEtag: row.anchorEtag ?? null,
      store: archive === undefined ? store : store.forArchive(archive),
    };
  };
}

const placeOf = ({ name, accountUrl, container, prefix }: ReplicationSite): AzureSite => ({
  name,
  accountUrl,
  container,
  prefix,
});
