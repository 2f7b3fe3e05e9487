/**
 * The system under test: real activities and a real database, two sites and an archive in memory,
 * and the watches that judge what becomes visible.
 */
import { sql } from 'kysely';
import { pino } from 'pino';

import type { Deps } from '../../activities/deps.ts';
import { createActivities } from '../../activities/index.ts';
import {
  applyConfiguration,
  type AppliedConfiguration,
} from '../../src/database/configuration/apply-configuration.ts';
import { readSite } from '../../src/database/configuration/sites.ts';
import { connectDatabase, type Database } from '../../src/database/orm.ts';
import { all, one, run } from '../../src/database/sql.ts';
import type { RepoPath } from '../../src/domain/repo-path.ts';
import type { Sha256 } from '../../src/domain/sha256.ts';
import { aConfiguration } from '../support/configuration.ts';
import { attempts, watchStatements } from './attempt.ts';
import { Driver, type Frozen } from './driver.ts';
import { sleepVirtually } from './in-attempt.ts';
import { MemoryArchive } from './memory-archive.ts';
import { startPublicServer } from './public-server.ts';
import {
  NUMBERS_MAX,
  Releases,
  SUITES,
  type Content,
  type Release,
  type Suite,
} from './releases.ts';
import { SiteClock, StandIn, type StoredBlob, type Wire } from './stand-in.ts';
import { Tables } from './tables.ts';
import {
  at,
  backwards,
  MOUNT,
  falseClaims,
  isClaimTrue,
  tornAt,
  Watch,
  type Claimed,
  type Finding,
  type LaneRow,
  type Served,
} from './watch.ts';

export const SITES = ['fra', 'sin'] as const;
export type SiteName = (typeof SITES)[number];

export const HOUR_MS = 60 * 60_000;
export const KEEPS = { graceMs: HOUR_MS, kept: 2 };
const DAYS_BEHIND = 60;
/** Short: whoever waits for a blob of another lane asks again and again until its slice ends. */
const LANE_SLICE_MS = 20;
/** A page per slice. */
const SCRUB_SLICE_MS = 0;

/** What the activities of a system are made of; a planted fault gives others. */
export type CreateActivities = typeof createActivities;

interface Copy {
  readonly blobs: ReadonlyMap<RepoPath, StoredBlob>;
  readonly rotten: ReadonlySet<RepoPath>;
}

/** Of the database; its rows are in tables of their own. */
interface Backup {
  readonly epoch: number;
  readonly passed: number;
  /** What it may know that its sites served. */
  readonly served: ReadonlySet<Served>;
  readonly configured: System['configured'];
}

export interface ModelSite {
  readonly standIn: StandIn;
  watch: Watch;
  copy: Copy | null;
}

/** Rows as the checks need them, read by one statement. */
export interface Rows {
  readonly lanes: readonly LaneRow[];
  readonly claims: readonly Claimed[];
  /** Publications that are open, by InRelease. */
  readonly open: readonly {
    readonly site: string;
    readonly suite: Suite;
    readonly inRelease: Sha256;
  }[];
  readonly epoch: number;
}

export class System {
  readonly database: Database;
  readonly tables: Tables;
  readonly releases: Releases;
  readonly clock = new SiteClock(Date.now() - DAYS_BEHIND * 24 * HOUR_MS);
  readonly sites: ReadonlyMap<SiteName, ModelSite>;
  archive = new MemoryArchive();
  driver: Driver;
  rows: Rows = { lanes: [], claims: [], open: [], epoch: 0 };
  #backup: Backup | null = null;
  numbers = 0;
  /** Time that passed at once, and not by itself; milliseconds. */
  #passed = 0;
  /** Of this schedule. */
  #epochMax = 0;
  configured: { readonly sites: Set<SiteName>; readonly suites: Set<Suite> };
  readonly #deps: Omit<Deps, 'sliceMs'>;
  readonly #create: CreateActivities;
  readonly #undo: (() => unknown)[];
  #firsts: readonly Release[] = [];
  readonly #starts = new Map<string, { blobs: Copy['blobs'][]; archive: MemoryArchive }>();

  private constructor(
    parts: Pick<System, 'database' | 'tables' | 'releases' | 'sites'>,
    publicUrl: string,
    options: { readonly create: CreateActivities; readonly undo: (() => unknown)[] },
  ) {
    this.database = parts.database;
    this.tables = parts.tables;
    this.releases = parts.releases;
    this.sites = parts.sites;
    this.configured = { sites: new Set(SITES), suites: new Set(SUITES) };
    this.#create = options.create;
    this.#undo = options.undo;
    this.#deps = {
      database: this.database,
      log: pino({ level: 'silent' }),
      archiveOf: async () => this.archive,
      siteOf: async (name) => ({
        id: 0,
        name,
        publicUrl: `${publicUrl}/${name}`,
        anchorEtag: (await readSite(this.database.read, name)).anchorEtag ?? null,
        store: this.sites.get(name as SiteName)!.standIn.store,
      }),
    };
    this.driver = this.#newDriver();
  }

  /** @param url of a database with all tables */
  static async start(url: string, create: CreateActivities = createActivities): Promise<System> {
    const database = await connectDatabase(url);
    await run(database.read, sql`update deployment set id = gen_random_uuid()`);
    const sites = new Map<SiteName, ModelSite>();
    const publicServer = await startPublicServer(
      new Map(
        SITES.map((name) => [
          name,
          {
            get blobs() {
              return sites.get(name)!.standIn.blobs;
            },
          },
        ]),
      ),
    );
    const undo: (() => unknown)[] = [() => publicServer.close(), () => database.close()];
    const tables = await Tables.of(database);
    const releases = await Releases.create();
    const system = new System({ database, tables, releases, sites }, publicServer.url, {
      create,
      undo,
    });
    for (const name of SITES) sites.set(name, system.#newSite(name));
    watchStatements();
    sleepVirtually();
    await system.configure();
    await system.#keepStart('empty');
    await system.#serveFirst();
    await system.#keepStart('served');
    return system;
  }

  async close(): Promise<void> {
    await this.driver.killFrozen();
    for (const undo of this.#undo.toReversed()) await undo();
  }

  #newSite(name: SiteName): ModelSite {
    const wire: Wire = async ({ method, path }, effect) => {
      const attempt = attempts.getStore();
      return attempt?.around('site', `${method} ${path}`, effect) ?? effect();
    };
    const standIn: StandIn = new StandIn(name, {
      wire,
      clock: this.clock,
      onChange: (change) => site.watch.changing(change),
    });
    const site: ModelSite = { standIn, watch: this.#newWatch(name, standIn), copy: null };
    return site;
  }

  #newWatch = (name: SiteName, standIn: StandIn): Watch =>
    new Watch(name, standIn.blobs, {
      known: this.releases.byDigest,
      keeps: KEEPS,
      now: () => this.clock.now,
    });

  #newDriver(): Driver {
    const activities = {
      lanes: this.#create({ ...this.#deps, sliceMs: LANE_SLICE_MS }),
      scrubs: this.#create({ ...this.#deps, sliceMs: SCRUB_SLICE_MS }),
    };
    return new Driver(activities, (frozen) => this.#unblock(frozen), this.clock);
  }

  /**
   * What waits for a transaction of a frozen machine goes on when the server ends that
   * (src/database/patience.ts); here at once.
   */
  async #unblock(frozen: readonly Frozen[]): Promise<void> {
    const sessions = frozen.flatMap(({ attempt }) => [...attempt.transactions]);
    if (sessions.length === 0) return;
    await all(
      this.database.read,
      sql`
        select pg_terminate_backend(pid)
        from unnest(${sessions}::int[]) frozen (pid)
        where exists (
          select
          from pg_stat_activity waiting
          where waiting.datname = current_database()
            and waiting.wait_event_type = 'Lock'
            and frozen.pid = any(pg_blocking_pids(waiting.pid))
        )`,
    );
  }

  async configure(): Promise<void> {
    const sites = SITES.filter((name) => this.configured.sites.has(name));
    const place = (name: SiteName): Partial<AppliedConfiguration['sites'][string]> => ({
      grace: KEEPS.graceMs,
      keep: KEEPS.kept,
      state: this.configured.sites.has(name) ? 'present' : 'absent',
    });
    const configuration = aConfiguration({
      archive: { keyring: this.releases.key.publicBinary },
      sites: Object.fromEntries(SITES.map((name) => [name, place(name)])),
      distributions: Object.fromEntries(
        SUITES.map((suite) => [
          suite,
          {
            sites,
            primary: sites[0]!,
            state: this.configured.suites.has(suite) ? 'present' : 'absent',
          } as const,
        ]),
      ),
    });
    await applyConfiguration(this.database, configuration, false);
  }

  async #serveFirst(): Promise<void> {
    for (const suite of SUITES) {
      await this.release({ suite, packages: 3, shared: null, xz: 'absent' }, false);
      await this.driver.capture(suite);
      for (const site of SITES) await this.driver.chain(suite, site);
    }
    this.#firsts = [...this.archive.current.values()];
  }

  async #keepStart(name: string): Promise<void> {
    await this.tables.keep(`start_${name}`);
    const blobs = SITES.map((site) => new Map(this.sites.get(site)!.standIn.blobs));
    this.#starts.set(name, { blobs, archive: this.archive.clone() });
  }

  /** All as it was when that was kept. */
  async begin(start: 'empty' | 'served'): Promise<void> {
    await this.driver.killFrozen();
    this.driver = this.#newDriver();
    const { blobs, archive } = this.#starts.get(start)!;
    await this.tables.restore(`start_${start}`);
    this.archive = archive.clone();
    this.numbers = SUITES.length;
    this.#backup = null;
    this.#epochMax = 0;
    this.#passed = 0;
    this.configured = { sites: new Set(SITES), suites: new Set(SUITES) };
    for (const [index, name] of SITES.entries()) {
      const site = this.sites.get(name)!;
      site.standIn.blobs.clear();
      for (const [path, blob] of blobs[index]!) site.standIn.blobs.set(path, blob);
      site.watch = this.#newWatch(name, site.standIn);
      site.watch.servesFrom();
      site.copy = null;
    }
    this.rows = await this.readRows();
  }

  async release(content: Content, drops: boolean): Promise<void> {
    if (this.numbers >= NUMBERS_MAX) return;
    this.numbers += 1;
    this.archive.release(await this.releases.signed(content, this.numbers), drops);
  }

  /** What an older release had at a name of a site; null: none had it. */
  olderBytes(place: RepoPath): Buffer | null {
    const path = place.slice(MOUNT.length) as RepoPath;
    const suite = SUITES.find((one) => path.startsWith(`dists/${one}/`));
    const first = this.#firsts.find((release) => release.suite === suite);
    return first?.files.get(path) ?? null;
  }

  /** Time passes for all: rows, sites, and machines that are frozen. */
  async pass(ms: number): Promise<void> {
    for (const { attempt } of this.driver.frozen) if (attempt.transactions.size > 0) attempt.kill();
    this.clock.tick(ms);
    this.#passed += ms;
    await this.tables.age(ms);
  }

  /** Now; a machine that is frozen may have read before, and book later. */
  rotsAt(): number {
    return this.driver.frozen.length > 0 ? Infinity : Date.now() + this.#passed;
  }

  async backUp(): Promise<void> {
    const served = new Set([...this.sites.values()].flatMap(({ watch }) => watch.served));
    const { sites, suites } = this.configured;
    const configured = { sites: new Set(sites), suites: new Set(suites) };
    this.#backup = { epoch: this.rows.epoch, passed: this.#passed, served, configured };
    await this.tables.keep('backup');
  }

  /**
   * Machines do not outlive their database; workflows may. A backup of before the database was last
   * known to be restored is left alone: sites then are for a person (SITE_TAKEN, `debgeo adopt`).
   */
  async restore(workflows: 'live' | 'begin anew'): Promise<void> {
    const backup = this.#backup!;
    if (backup.epoch < this.#epochMax) return;
    await this.driver.killFrozen();
    await this.tables.restore('backup');
    await this.tables.age(this.#passed - backup.passed);
    const { sites, suites } = backup.configured;
    this.configured = { sites: new Set(sites), suites: new Set(suites) };
    await this.#findStrays();
    this.driver.restored();
    if (workflows === 'begin anew') {
      this.driver.terminate();
      for (const site of SITES) await this.driver.confirm(site);
    }
    this.rows = await this.readRows();
    for (const { watch } of this.sites.values()) watch.loses(backup.served);
    for (const claim of this.rows.claims) {
      const { watch, standIn } = this.sites.get(claim.site as SiteName)!;
      if (!isClaimTrue(claim, standIn.blobs)) watch.outdated.add(at(claim.path));
    }
  }

  /** Published names at the sites that the rows know nothing of. */
  async #findStrays(): Promise<void> {
    const known = await all(
      this.database.read,
      sql<{ name: string }>`
        select s.name || ' ' || n.path as name
        from published_names n
        join replication_sites s on s.id = n.site_id`,
    );
    const names = new Set(known.map(({ name }) => name));
    for (const [site, { watch, standIn }] of this.sites)
      for (const place of standIn.blobs.keys())
        if (!names.has(`${site} ${place.slice(MOUNT.length)}`)) watch.strays.add(place);
  }

  /** Every promise that must hold after every command. */
  async judge(): Promise<Finding[]> {
    const before = this.rows;
    this.rows = await this.readRows();
    this.#epochMax = Math.max(this.#epochMax, this.rows.epoch);
    const found = backwards(before.lanes, this.rows.lanes);
    for (const { watch, standIn } of this.sites.values()) {
      found.push(...watch.findings.splice(0));
      found.push(...tornAt(watch, standIn.blobs));
      found.push(...falseClaims(this.rows.claims, watch, standIn.blobs));
      watch.excuseLess(this.rows.claims);
      watch.inFlight = this.rows.open
        .filter(({ site }) => site === watch.site)
        .flatMap(({ inRelease }) => this.releases.byDigest.get(inRelease) ?? []);
    }
    return found;
  }

  /** What a refused release must not change. */
  async catalogAndSites(): Promise<string> {
    const { lanes, claims } = await this.readRows();
    const newest = lanes.map((row) => `${row.suite} ${row.site} ${row.newest}`);
    const blobs = [...this.sites].flatMap(([name, { standIn }]) =>
      [...standIn.blobs].map(([path, { etag }]) => `${name} ${path} ${etag}`),
    );
    return [...newest, ...claims.map(({ site, path }) => `${site} ${path}`), ...blobs]
      .toSorted()
      .join('\n');
  }

  async readRows(): Promise<Rows> {
    const found = await one(
      this.database.read,
      sql<Rows>`
        select
          (
            select coalesce(json_agg(json_build_object(
              'suite', d.name, 'site', s.name, 'served', r.served_generation, 'state', r.state,
              'paused', r.paused, 'code', r.failure_code, 'status', d.replication_status,
              'newest', encode(sha256(n.in_release), 'hex'))), '[]')
            from distribution_replications r
            join debian_distributions d on d.id = r.distribution_id
            join replication_sites s on s.id = r.site_id
            left join distribution_snapshots n
              on n.distribution_id = d.id and n.generation = d.latest_generation
          ) as lanes,
          (
            select coalesce(json_agg(json_build_object(
              'site', s.name, 'path', p.path, 'sha256', encode(b.sha256, 'hex'),
              'verifiedAt',
              extract(epoch from r.verified_at) * 1000 + ${this.#passed}::bigint)), '[]')
            from blob_registry r
            join replication_sites s on s.id = r.site_id
            join paths p on p.id = r.path_id
            join blobs b on b.id = r.blob_id
            where r.settled
          ) as claims,
          (
            select coalesce(json_agg(json_build_object(
              'site', s.name, 'suite', d.name,
              'inRelease', encode(sha256(n.in_release), 'hex'))), '[]')
            from publications p
            join replication_sites s on s.id = p.site_id
            join debian_distributions d on d.id = p.distribution_id
            join distribution_snapshots n using (distribution_id, generation)
            where p.published_at is null
              and p.given_up_at is null
          ) as open,
          (select epoch from deployment) as epoch`,
    );
    return found!;
  }
}
