/** A database that is lost while its sites serve, and what begins anew in its place. */
import { sql } from 'kysely';

import { adoptSite, type Adopted } from '../../../activities/adopt/adopt-site.ts';
import type { AdoptInput } from '../../../activities/adopt/adopter.ts';
import { applyConfiguration } from '../../../src/database/configuration/apply-configuration.ts';
import { readSite } from '../../../src/database/configuration/sites.ts';
import { connectDatabase, type Database } from '../../../src/database/orm.ts';
import { all, run } from '../../../src/database/sql.ts';
import type { RepoPath } from '../../../src/domain/repo-path.ts';
import { walkSite, type SiteWalk } from '../../../src/witness/walk-site.ts';
import { aConfiguration } from '../../support/configuration.ts';
import { migratedDatabase } from '../../support/servers.ts';
import { inActivity, Lanes } from '../lane/lanes.ts';

interface Owner {
  after(close: () => Promise<unknown>): unknown;
}

/** The same archive and sites, and a database that knows nothing but its configuration. */
export async function afterLoss(
  t: Owner,
  lanes: Lanes,
  options: { readonly suites?: readonly string[]; readonly keyring?: Uint8Array | null } = {},
): Promise<Lanes> {
  const databaseUrl = await migratedDatabase();
  const database = await connectDatabase(databaseUrl);
  t.after(() => database.close());
  await run(database.read, sql`update deployment set id = gen_random_uuid()`);
  const { archives, server, sites } = lanes;
  const { keyring = lanes.keyring, suites = [...archives.keys()] } = options;
  const places: [string, object][] = [];
  for (const name of sites.keys()) {
    const { accountUrl, container, publicUrl } = await readSite(lanes.database.read, name);
    places.push([name, { account_url: accountUrl, container, public_url: publicUrl }]);
  }
  const configuration = aConfiguration({
    archive: { url: server.url, keyring },
    sites: Object.fromEntries(places),
    distributions: suites,
  });
  await applyConfiguration(database, configuration, false);
  return withDatabase(lanes, database, databaseUrl);
}

/** The same archive and sites. */
export function withDatabase(
  { keyring, archives, server, sites, folder }: Lanes,
  database: Database,
  databaseUrl = '',
): Lanes {
  return new Lanes({ database, databaseUrl, keyring, archives, server, sites, folder });
}

/** The worker looks at the archive. */
export async function look(lanes: Lanes, suite = lanes.suite): Promise<number> {
  const { generation } = await inActivity(() =>
    lanes.activities().captureSnapshot({ distribution: suite, unconditional: true }),
  );
  return generation;
}

export const adopt = (
  lanes: Lanes,
  options: Partial<AdoptInput> = {},
  replaced: Parameters<Lanes['deps']>[0] = {},
): Promise<Adopted> =>
  adoptSite(lanes.deps(replaced), {
    site: 'fra',
    takeOver: true,
    dryRun: false,
    reason: 'database lost',
    by: 'a test',
    signal: new AbortController().signal,
    ...options,
  });

/** Every row of every table, but for what a rolled back transaction leaves: sequences. */
export async function rowsOf({ read }: Database): Promise<Map<string, string>> {
  const tables = await all(
    read,
    sql<{ name: string }>`
      select table_name as name
      from information_schema.tables
      where table_schema = 'public'
        and table_type = 'BASE TABLE'
      order by table_name`,
  );
  const found = new Map<string, string>();
  for (const { name } of tables) {
    const rows = await all(
      read,
      sql<{ row: string }>`select t::text as row from ${sql.table(name)} t order by 1`,
    );
    found.set(name, rows.map(({ row }) => row).join('\n'));
  }
  return found;
}

/** ETag of everything at a site, by path. */
export async function blobsAt(lanes: Lanes, site = 'fra'): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for await (const { name, properties } of lanes.site(site).container.listBlobsFlat())
    found.set(name, properties.etag);
  return found;
}

/** Without what debgeo keeps for itself. */
export const servedAt = async (lanes: Lanes, site = 'fra'): Promise<Map<string, string>> =>
  new Map([...(await blobsAt(lanes, site))].filter(([path]) => !path.startsWith('.debgeo/')));

export const walk = (lanes: Lanes, suite = lanes.suite, site = 'fra'): Promise<SiteWalk> =>
  walkSite({ url: `${lanes.site(site).publicUrl}/debian`, suite, keyring: lanes.keyring });

export const readBlob = (lanes: Lanes, path: string): Promise<Buffer> =>
  lanes.site().container.getBlobClient(path).downloadToBuffer();

export const writeBlob = (lanes: Lanes, path: string, bytes: Uint8Array): Promise<unknown> =>
  lanes.site().container.getBlockBlobClient(path).upload(bytes, bytes.length);

export const inReleaseOf = (suite: string): RepoPath =>
  `debian/dists/${suite}/InRelease` as RepoPath;
