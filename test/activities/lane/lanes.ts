/**
 * Activities run one by one, without a Temporal server: real PostgreSQL, real Azurite, a real
 * signed archive over HTTP.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { ContainerClient } from '@azure/storage-blob';
import { asyncLocalStorage, Context } from '@temporalio/activity';
import { sql } from 'kysely';
import { pino } from 'pino';

import type { Deps } from '../../../activities/deps.ts';
import { createActivities, type Activities } from '../../../activities/index.ts';
import type { StepAnswer, StepInput, Unanswered } from '../../../activities/lane/step.ts';
import { createHttpArchive } from '../../../src/archive/http-archive.ts';
import {
  applyConfiguration,
  type AppliedConfiguration,
} from '../../../src/database/configuration/apply-configuration.ts';
import { readSite } from '../../../src/database/configuration/sites.ts';
import { connectDatabase, type Database } from '../../../src/database/orm.ts';
import { run } from '../../../src/database/sql.ts';
import {
  startArchiveServer,
  type ArchiveServer,
} from '../../../src/made-archive/archive-server.ts';
import { makeBinaryPackage, type Package } from '../../../src/made-archive/deb-package.ts';
import {
  createSignedArchive,
  type ReleaseContent,
  type SignedArchive,
  type SignedArchiveOptions,
} from '../../../src/made-archive/signed-archive.ts';
import { createSigningKey } from '../../../src/made-archive/signing-key.ts';
import { createAzureSiteStore } from '../../../src/site/azure-site-store.ts';
import type { SiteStore } from '../../../src/site/site-store.ts';
import { startAzuriteSite } from '../../site/azurite-site.ts';
import { aConfiguration } from '../../support/configuration.ts';
import { copyOfDatabase, migratedDatabase } from '../../support/servers.ts';

export const aPackage = (name: string, version: string): Package =>
  makeBinaryPackage({ name, version, architecture: 'amd64', payload: randomBytes(500) });

export interface Site {
  readonly container: ContainerClient;
  readonly store: SiteStore;
  readonly publicUrl: string;
}

/** Runs work as the worker would: as the first attempt of its activity, unless one is given. */
export function inActivity<T>(
  work: () => Promise<T>,
  options: { attempt?: number; signal?: AbortSignal; heartbeat?: () => void } = {},
): Promise<T> {
  const { attempt = 1 } = options;
  const signal = options.signal ?? new AbortController().signal;
  const nothing = {} as any;
  const context = new Context(
    { attempt } as any,
    new Promise<never>(() => {}),
    signal,
    options.heartbeat ?? (() => {}),
    undefined,
    nothing,
    nothing,
    nothing,
  );
  return asyncLocalStorage.run(context, work);
}

export const code = (error: any): string => error?.type ?? error?.code ?? String(error);

export interface LanesOptions {
  readonly sites?: readonly string[];
  readonly suites?: readonly string[];
  readonly archive?: Partial<SignedArchiveOptions>;
  /** Of another installation: both write to it, each with a database and an archive of its own. */
  readonly container?: ContainerClient;
}

export class Lanes {
  readonly database: Database;
  readonly databaseUrl: string;
  readonly keyring: Uint8Array;
  readonly archives: ReadonlyMap<string, SignedArchive>;
  readonly server: ArchiveServer;
  readonly sites: ReadonlyMap<string, Site>;
  readonly folder: string;
  /** By generation, of the first suite. */
  readonly released: (ReleaseContent | null)[] = [null];

  constructor(
    parts: Pick<
      Lanes,
      'database' | 'databaseUrl' | 'keyring' | 'archives' | 'server' | 'sites' | 'folder'
    >,
  ) {
    this.database = parts.database;
    this.databaseUrl = parts.databaseUrl;
    this.keyring = parts.keyring;
    this.archives = parts.archives;
    this.server = parts.server;
    this.sites = parts.sites;
    this.folder = parts.folder;
  }

  get suite(): string {
    return [...this.archives.keys()][0]!;
  }

  site(name = 'fra'): Site {
    return this.sites.get(name)!;
  }

  deps(
    replaced: {
      stores?: ReadonlyMap<string, SiteStore>;
      database?: Database;
      sliceMs?: number;
      publicUrl?: string;
      archiveOf?: Deps['archiveOf'];
    } = {},
  ): Deps {
    const database = replaced.database ?? this.database;
    return {
      database,
      log: pino({ level: 'silent' }),
      ...(replaced.sliceMs === undefined ? {} : { sliceMs: replaced.sliceMs }),
      archiveOf: replaced.archiveOf ?? (async (archive) => createHttpArchive(archive)),
      siteOf: async (name) => ({
        id: 0,
        name,
        publicUrl: replaced.publicUrl ?? this.site(name).publicUrl,
        anchorEtag: (await readSite(database.read, name)).anchorEtag ?? null,
        store: replaced.stores?.get(name) ?? this.site(name).store,
      }),
    };
  }

  /** The database as it is now, beside archive and sites as they will be. */
  async backUp(t: Owner): Promise<Lanes> {
    const databaseUrl = await copyOfDatabase(this.databaseUrl);
    const database = await connectDatabase(databaseUrl);
    t.after(() => database.close());
    const { keyring, archives, server, sites, folder } = this;
    return new Lanes({ database, databaseUrl, keyring, archives, server, sites, folder });
  }

  /** What sites showed before they were read back is read by no client any more. */
  async endGrace(): Promise<void> {
    await run(this.database.read, sql`update distribution_replications set spared_until = now()`);
  }

  activities(replaced?: Parameters<Lanes['deps']>[0]): Activities {
    return createActivities(this.deps(replaced));
  }

  /** The archive releases, and debgeo captures it. */
  async capture(
    packages: readonly Package[],
    suite = this.suite,
    prepare?: (content: ReleaseContent) => ReleaseContent,
  ): Promise<number> {
    const archive = this.archives.get(suite)!;
    const content = await archive.prepare(packages);
    await archive.write((prepare?.(content) ?? content).files);
    const { generation } = await inActivity(() =>
      this.activities().captureSnapshot({ distribution: suite, unconditional: true }),
    );
    if (suite === this.suite) this.released[generation] = content;
    return generation;
  }

  /**
   * The steps of a lane in the order in which the workflow gives them, until the generation is
   * served or a step fails.
   */
  async replicate(
    generation: number,
    site = 'fra',
    activities = this.activities(),
    suite = this.suite,
  ): Promise<StepAnswer> {
    const input = { distribution: suite, site, generation };
    const whole = async (
      step: (at: StepInput) => Promise<StepAnswer | Unanswered>,
      joined: Pick<StepInput, 'plan' | 'probe'> = {},
    ): Promise<StepAnswer> => {
      for (;;) {
        const answer = await inActivity(() => step({ ...input, ...joined }));
        if (!answer.more) return answer;
      }
    };
    for (let rounds = 0; rounds < 5; rounds += 1) {
      await whole(activities.syncBlobs, rounds === 0 ? { plan: true } : {});
      if ((await whole(activities.checksumBlobs)).repair > 0) continue;
      await whole(activities.verifySnapshot);
      const published = await whole(activities.publishSnapshot, { probe: true });
      if (published.repair === 0) return published;
    }
    throw new Error('repaired five times');
  }
}

/** A test, or what closes the lanes behind several tests. */
interface Owner {
  after(close: () => Promise<unknown>): unknown;
}

export async function startLanes(t: Owner, options: LanesOptions = {}): Promise<Lanes> {
  const { sites: names = ['fra'], suites = ['bookworm'] } = options;
  const folder = await mkdtemp(join(tmpdir(), 'debgeo-lanes-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const key = await createSigningKey('archive');
  const shape = { hashes: ['SHA256'] as const, compressions: ['gz'] as const, ...options.archive };
  const archives = new Map(
    suites.map((suite) => [suite, createSignedArchive({ folder, suite, key, ...shape })]),
  );
  const server = await startArchiveServer(folder);
  t.after(() => server.close());
  const databaseUrl = await migratedDatabase();
  const database = await connectDatabase(databaseUrl);
  t.after(() => database.close());
  // databases of tests are copies of one
  await run(database.read, sql`update deployment set id = gen_random_uuid()`);

  const azurite = await startAzuriteSite();
  t.after(() => azurite.stop());
  const sites = new Map<string, Site>();
  const places: Record<string, Partial<AppliedConfiguration['sites'][string]>> = {};
  for (const name of names) {
    const container = options.container ?? (await azurite.container('blob'));
    const place = {
      name,
      accountUrl: azurite.accountUrl,
      container: container.containerName,
      prefix: '',
    };
    sites.set(name, {
      container,
      store: createAzureSiteStore(place, azurite.credential),
      publicUrl: container.url,
    });
    places[name] = {
      account_url: azurite.accountUrl,
      container: container.containerName,
      public_url: container.url,
    };
  }
  await applyConfiguration(
    database,
    aConfiguration({
      archive: { url: server.url, keyring: key.publicBinary },
      sites: places,
      distributions: suites,
    }),
    false,
  );
  return new Lanes({
    database,
    databaseUrl,
    keyring: key.publicBinary,
    archives,
    server,
    sites,
    folder,
  });
}
