/**
 * Brings archives, sites and distributions in the tables to what a configuration says, in one
 * transaction. Nothing is ever deleted: a distribution that is `absent` is marked removed, and so
 * its workflow ends; its blobs stay at the sites.
 */
import { sql, type RawBuilder } from 'kysely';

import { DebgeoError } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Database, Tx } from '../orm.ts';
import { rollUp } from '../replications/replications.ts';
import { all, run } from '../sql.ts';

interface ArchiveRow {
  readonly url: string;
  readonly mount: string;
  readonly keyring: Uint8Array | null;
  readonly redirect_origins: readonly string[];
}
interface SiteRow {
  readonly account_url: string;
  readonly container: string;
  readonly prefix: string;
  readonly public_url: string;
  readonly credential: object;
  readonly worker_group?: string | undefined;
  /**
   * Milliseconds, as `prune`; LIMITS of graceMs, keptGenerations and pruneIntervalMs unless given.
   */
  readonly grace?: number;
  readonly keep?: number;
  readonly prune?: number;
  readonly bytes_per_second?: number | undefined;
  readonly state: 'present' | 'absent';
}
interface DistributionRow {
  readonly archive: string;
  readonly suite: string;
  readonly components: readonly string[];
  readonly architectures: readonly string[];
  readonly sites: readonly string[];
  readonly primary: string;
  readonly poll: number;
  readonly accept_undated: boolean;
  readonly stale_after?: number | undefined;
  readonly state: 'present' | 'absent';
}
export interface AppliedConfiguration {
  readonly archives: Readonly<Record<string, ArchiveRow>>;
  readonly sites: Readonly<Record<string, SiteRow>>;
  readonly distributions: Readonly<Record<string, DistributionRow>>;
}

export interface Change {
  readonly kind: 'archive' | 'site' | 'distribution';
  readonly name: string;
  readonly what: 'added' | 'changed' | 'removed' | 'unchanged';
}

class DryRun extends Error {}

/**
 * @param dryRun everything is tried in the database and rolled back
 * @throws CONFIG_INVALID where a change would make what is at a site unreachable (another mount,
 *   another place, another suite)
 */
export const applyConfiguration = async (
  database: Database,
  configuration: AppliedConfiguration,
  dryRun: boolean,
): Promise<Change[]> => {
  const changes: Change[] = [];
  try {
    await database.transaction(async (tx) => {
      await run(tx, sql`select pg_advisory_xact_lock(727002)`); // two applies at once would interleave
      await lockDistributions(tx, Object.keys(configuration.distributions));
      await refuseForbidden(tx, configuration);
      for (const [name, archive] of Object.entries(configuration.archives))
        changes.push(await applyArchive(tx, name, archive));
      for (const [name, site] of Object.entries(configuration.sites))
        changes.push(await applySite(tx, name, site));
      for (const [name, distribution] of Object.entries(configuration.distributions))
        changes.push(await applyDistribution(tx, name, distribution));
      if (dryRun) throw new DryRun();
    });
  } catch (error) {
    if (!(error instanceof DryRun)) throw error;
  }
  return changes;
};

/**
 * Distributions, then their replications, before any archive or site, because that is how captures
 * and lanes come to the archives and sites that they refer to. `no key update` lets a lane that
 * holds its replication refer to its distribution until it ends; whoever wants one of them later
 * waits.
 */
const lockDistributions = async (tx: Tx, names: readonly string[]): Promise<void> => {
  await run(
    tx,
    sql`select from debian_distributions where name = any(${[...names]}) order by id for no key update`,
  );
  await run(
    tx,
    sql`
    select from distribution_replications where distribution_id in (select id from debian_distributions where name = any(${[...names]}))
    order by distribution_id, site_id for update`,
  );
};

/**
 * Names keep what they stood for, and two names never stand for one thing: what is at the sites
 * would be lost from sight.
 */
const refuseForbidden = async (
  tx: Tx,
  { archives, sites, distributions }: AppliedConfiguration,
): Promise<void> => {
  const faults: string[] = [];
  /**
   * `own` and `other`: what the tables say of this name, and of names that this configuration
   * leaves as they are.
   */
  const check = (
    what: string,
    own: Standing | undefined,
    wanted: string,
    others: readonly Standing[],
    meet = equal,
  ): void => {
    if (own?.used === true && own.place !== wanted)
      faults.push(
        `${what}: ${own.place} is in use and cannot become ${wanted}; choose another name`,
      );
    for (const other of others)
      if (meet(other.place, wanted))
        faults.push(`${what}: ${wanted} belongs to ${other.name} (${other.place})`);
  };
  const standing = async (rows: RawBuilder<Standing>, named: object) => {
    const found = (await rows.execute(tx.kysely)).rows;
    return {
      own: new Map(found.map((row) => [row.name, row])),
      others: found.filter((row) => !Object.hasOwn(named, row.name)),
    };
  };

  const mounts = await standing(
    sql`select name, mount as place, exists (select from debian_distributions d where d.archive_id = a.id and d.latest_generation > 0) as used from archives a`,
    archives,
  );
  for (const [name, { mount }] of Object.entries(archives))
    check(`mount of archive ${name}`, mounts.own.get(name), mount, mounts.others, nested);

  const places = await standing(
    sql`select name, concat_ws('/', account_url, container, nullif(prefix, '')) as place, exists (select from blob_registry r where r.site_id = s.id) as used
        from replication_sites s`,
    sites,
  );
  for (const [name, { account_url, container, prefix }] of Object.entries(sites))
    check(
      `place of site ${name}`,
      places.own.get(name),
      [account_url, container, prefix].filter((part) => part !== '').join('/'),
      places.others,
    );

  const suites = await standing(
    sql`select d.name, a.name || ' ' || d.suite as place, d.latest_generation > 0 as used from debian_distributions d join archives a on a.id = d.archive_id`,
    distributions,
  );
  for (const [name, { archive, suite }] of Object.entries(distributions))
    check(
      `archive and suite of distribution ${name}`,
      suites.own.get(name),
      `${archive} ${suite}`,
      suites.others,
    );

  if (faults.length === 0) return;
  throw new DebgeoError('CONFIG_INVALID', 'what is at the sites would be lost from sight', {
    expected: 'mounts, places and suites as they were applied before',
    found: faults.join('\n'),
    state: 'nothing changed',
  });
};

interface Standing {
  readonly name: string;
  /** What no other name may stand for. */
  readonly place: string;
  readonly used: boolean;
}
const equal = (one: string, other: string): boolean => one === other;
const nested = (one: string, other: string): boolean =>
  `${one}/`.startsWith(`${other}/`) || `${other}/`.startsWith(`${one}/`);

const changeOf = (kind: Change['kind'], name: string, before: number, written: number): Change => ({
  kind,
  name,
  what: before === 0 ? 'added' : written === 0 ? 'unchanged' : 'changed',
});

const applyArchive = async (tx: Tx, name: string, archive: ArchiveRow): Promise<Change> => {
  const before = await all(tx, sql`select from archives where name = ${name}`);
  const keyring = archive.keyring === null ? null : Buffer.from(archive.keyring);
  const written = await all(
    tx,
    sql`
    insert into archives as a (name, url, mount, keyring, redirect_origins)
    values (${name}, ${archive.url}, ${archive.mount}, ${keyring}, ${[...archive.redirect_origins]})
    on conflict (name) do update set url = excluded.url, mount = excluded.mount, keyring = excluded.keyring, redirect_origins = excluded.redirect_origins
    where (a.url, a.mount, a.keyring, a.redirect_origins) is distinct from (excluded.url, excluded.mount, excluded.keyring, excluded.redirect_origins)
    returning a.id`,
  );
  return changeOf('archive', name, before.length, written.length);
};

const applySite = async (tx: Tx, name: string, site: SiteRow): Promise<Change> => {
  const before = await all(
    tx,
    sql<{
      enabled: boolean;
    }>`select enabled from replication_sites where name = ${name}`,
  );
  const enabled = site.state === 'present';
  const written = await all(
    tx,
    sql`
    insert into replication_sites as s (name, account_url, container, prefix, public_url, credential, worker_group, bytes_per_second, enabled,
      grace_ms, kept_generations, prune_interval_ms)
    values (${name}, ${site.account_url}, ${site.container}, ${site.prefix}, ${site.public_url}, ${JSON.stringify(site.credential)}::jsonb,
            ${site.worker_group ?? null}, ${site.bytes_per_second ?? null}::bigint, ${enabled}, ${site.grace ?? LIMITS.graceMs}, ${site.keep ?? LIMITS.keptGenerations},
            ${site.prune ?? LIMITS.pruneIntervalMs})
    on conflict (name) do update set account_url = excluded.account_url, container = excluded.container, prefix = excluded.prefix,
      public_url = excluded.public_url, credential = excluded.credential, worker_group = excluded.worker_group, enabled = excluded.enabled,
      bytes_per_second = excluded.bytes_per_second,
      grace_ms = excluded.grace_ms, kept_generations = excluded.kept_generations, prune_interval_ms = excluded.prune_interval_ms
    where (s.account_url, s.container, s.prefix, s.public_url, s.credential, s.worker_group, s.bytes_per_second, s.enabled, s.grace_ms, s.kept_generations,
        s.prune_interval_ms) is distinct from
      (excluded.account_url, excluded.container, excluded.prefix, excluded.public_url, excluded.credential, excluded.worker_group, excluded.bytes_per_second, excluded.enabled,
        excluded.grace_ms, excluded.kept_generations, excluded.prune_interval_ms)
    returning s.id`,
  );
  const change = changeOf('site', name, before.length, written.length);
  return before[0]?.enabled === true && !enabled ? { ...change, what: 'removed' } : change;
};

const applyDistribution = async (
  tx: Tx,
  name: string,
  distribution: DistributionRow,
): Promise<Change> => {
  const before = await all(
    tx,
    sql<{
      removed: boolean;
    }>`select removed from debian_distributions where name = ${name}`,
  );
  const removed = distribution.state === 'absent';
  const written = await all(
    tx,
    sql<{ id: number }>`
    insert into debian_distributions as d
      (name, archive_id, suite, components, architectures, replication_site_id, removed, poll_interval_ms, accept_undated, stale_after_ms)
    select ${name}, a.id, ${distribution.suite}, ${[...distribution.components]}, ${[...distribution.architectures]}, s.id, ${removed},
      ${distribution.poll}, ${distribution.accept_undated}, ${distribution.stale_after ?? null}::bigint
    from archives a, replication_sites s where a.name = ${distribution.archive} and s.name = ${distribution.primary}
    on conflict (name) do update set archive_id = excluded.archive_id, suite = excluded.suite, components = excluded.components,
      architectures = excluded.architectures, replication_site_id = excluded.replication_site_id, removed = excluded.removed,
      poll_interval_ms = excluded.poll_interval_ms, accept_undated = excluded.accept_undated, stale_after_ms = excluded.stale_after_ms,
      in_release_etag = null, in_release_last_modified = null, next_look_at = now(), rev = nextval('revision')
    where (d.archive_id, d.suite, d.components, d.architectures, d.replication_site_id, d.removed, d.poll_interval_ms, d.accept_undated, d.stale_after_ms) is distinct from
      (excluded.archive_id, excluded.suite, excluded.components, excluded.architectures, excluded.replication_site_id, excluded.removed,
       excluded.poll_interval_ms, excluded.accept_undated, excluded.stale_after_ms)
    returning d.id`,
  );
  const lanes = await applyReplications(tx, name, removed ? [] : distribution.sites);
  const change = changeOf('distribution', name, before.length, written.length + lanes);
  return removed && before[0]?.removed === false ? { ...change, what: 'removed' } : change;
};

/**
 * One replication per site. A site that comes back takes up what it serves and an open publication,
 * so that it goes neither backwards nor into another generation halfway (I1, I3).
 * @returns how many replications were added or taken away
 */
const applyReplications = async (
  tx: Tx,
  distribution: string,
  sites: readonly string[],
): Promise<number> => {
  const gone = await all(
    tx,
    sql`
    delete from distribution_replications r using debian_distributions d
    where d.id = r.distribution_id and d.name = ${distribution}
      and r.site_id not in (select id from replication_sites where name = any(${[...sites]}))
    returning r.site_id`,
  );
  const come = await all(
    tx,
    sql`
    insert into distribution_replications (distribution_id, site_id, desired_generation, served_generation, pinned_generation)
    select d.id, s.id, d.latest_generation,
      coalesce((select max(p.generation) from publications p where p.distribution_id = d.id and p.site_id = s.id and p.published_at is not null), 0),
      (select p.generation from publications p where p.distribution_id = d.id and p.site_id = s.id and p.published_at is null)
    from debian_distributions d, replication_sites s
    where d.name = ${distribution} and s.name = any(${[...sites]})
    on conflict do nothing returning site_id`,
  );
  const changed = gone.length + come.length;
  const found = await all(
    tx,
    sql<{
      id: number;
    }>`select id from debian_distributions where name = ${distribution}`,
  );
  if (changed > 0 && found[0] !== undefined) await rollUp(tx, found[0].id);
  return changed;
};
