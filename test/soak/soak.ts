/** One soak on a stage: its actors work side by side until the time is over, then it ends whole. */
import { setTimeout as sleep } from 'node:timers/promises';

import { sql } from 'kysely';

import { all, one } from '../../src/database/sql.ts';
import { sendDistributionChanged } from '../../src/temporal/signals.ts';
import { ask, digest } from '../../src/witness/ask-as-apt.ts';
import { Backups } from './backups.ts';
import { cycle, type ClientCounts } from './clients.ts';
import {
  decisionsOf,
  WORKERS,
  type Decisions,
  type SiteName,
  type Suite,
  type Victim,
} from './decisions.ts';
import { corruptionsOf, endSoak, type EndOptions } from './ending.ts';
import type { Journal } from './journal.ts';
import type { SoakDid } from './judge-failure.ts';
import type { SoakReport } from './report.ts';
import { GRACE_MS, type Stage } from './stage.ts';
import { walkAgainAndAgain, type WalkCounts } from './walks.ts';

export interface SoakOptions {
  readonly seed: number;
  /** Of faults. */
  readonly ms: number;
  /** In place of those of the seed; when they are at their end, the faults are over. */
  readonly script?: Decisions;
  readonly restores: number;
  /** The workers work on while the database is restored, which no operator should do. */
  readonly hotRestores: boolean;
  readonly cyclesPerSecond: number;
  readonly faults: boolean;
  readonly end: Omit<EndOptions, 'signal'>;
  /** Ends the soak where it is; it throws then. */
  readonly signal: AbortSignal;
  /** Done once, a third into the soak: for a planted fault. */
  readonly plant?: () => Promise<void>;
}

/** A worker that starts while a server is away says so, and leaves it to its supervisor. */
const UNREACHABLE = /exit code 4$/;
const CHECK_MS = 700;
const TRIES = 20;
const WORKER_UP_MS = 60_000;
const SERVED_MS = 5_000;
const BACKUP_MS = 45_000;
const WALK_MS = 5_000;
/** Some of the grace is for the reading itself. */
const LATE_MS = GRACE_MS - 20_000;
/** An Azurite that has just come back answers late. */
const AFTER_STOP_MS = 2_000;

export class Soak {
  readonly #stage: Stage;
  readonly #options: SoakOptions;
  readonly #journal: Journal;
  readonly #decisions: Decisions;
  readonly #backups: Backups;
  readonly #over = new AbortController();
  /** Aborts when the faults are over, or when the whole soak is given up. */
  readonly #signal: AbortSignal;
  readonly #stops: { readonly site: SiteName; readonly from: number; to: number }[] = [];
  readonly #onRecord = new Set<string>();
  readonly #telling = new Set<Suite>();
  readonly #ended: string[] = [];
  readonly #kills: Record<string, number> = {};
  #azuriteStops = 0;
  #freezes = 0;
  #backupCount = 0;
  #restores = 0;
  /** Of each InRelease, at each site, the ETag that was seen last. */
  readonly #served = new Map<string, string>();
  #publications = 0;
  #refusedStarts = 0;
  /** Servers are ended and started by one actor at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(stage: Stage, options: SoakOptions, journal: Journal) {
    this.#stage = stage;
    this.#options = options;
    this.#journal = journal;
    this.#decisions = options.script ?? decisionsOf(options.seed);
    this.#backups = new Backups(() => stage.servers.databaseUrl);
    this.#signal = AbortSignal.any([this.#over.signal, options.signal]);
  }

  /** @throws what ended an actor that no fault of the soak explains */
  async run(): Promise<SoakReport> {
    const before = this.#stage.releases.count;
    const readers = this.#startReaders();
    try {
      await this.#untilFaultsEnd();
      const { end, signal } = this.#options;
      const ending = await endSoak(this.#stage, { ...end, signal });
      this.#journal.note('the end', { ending });
      await this.#lookAtIncidents();
      readers.stop.abort();
      const read = { clients: await readers.clients, walks: await readers.walks };
      return { ...this.#counts(), releases: this.#stage.releases.count - before, ...read, ending };
    } finally {
      readers.stop.abort();
      await Promise.allSettled([readers.clients, readers.walks]);
    }
  }

  async #untilFaultsEnd(): Promise<void> {
    const { ms, faults, plant, script } = this.#options;
    const scripted = [this.#release(), ...(faults ? this.#faults() : [])];
    const actors = [...scripted, this.#watch()];
    if (plant !== undefined) actors.push(sleep(ms / 3).then(plant));
    // An actor that fails ends the soak: its counts would be of something else.
    const failed = Promise.all(actors);
    failed.catch(() => this.#over.abort());
    await Promise.race([this.#pause(ms), ...(script === undefined ? [] : [Promise.all(scripted)])]);
    this.#over.abort();
    await failed;
    this.#options.signal.throwIfAborted();
    this.#journal.note('the faults are over');
  }

  #counts(): Omit<SoakReport, 'releases' | 'clients' | 'walks' | 'ending'> {
    return {
      seed: this.#options.seed,
      minutes: this.#options.ms / 60_000,
      publications: this.#publications,
      kills: this.#kills,
      azuriteStops: this.#azuriteStops,
      freezes: this.#freezes,
      backups: this.#backupCount,
      restores: this.#restores,
      ended: this.#ended,
      refusedStarts: this.#refusedStarts,
      corruptions: corruptionsOf(this.#stage.rot.files, this.#onRecord),
    };
  }

  #faults(): Promise<void>[] {
    return [this.#kill(), this.#freeze(), this.#azurite(), this.#rot(), this.#backUp()];
  }

  #startReaders(): {
    readonly stop: AbortController;
    readonly clients: Promise<ClientCounts>;
    readonly walks: Promise<WalkCounts>;
  } {
    const stop = new AbortController();
    const shared = {
      readers: this.#stage.readers,
      signal: AbortSignal.any([stop.signal, this.#options.signal]),
      did: (site: SiteName, suite: string, from: number, to: number) =>
        this.#did(site, suite, from, to),
    };
    const clients = cycle({
      ...shared,
      released: (name) => this.#stage.releases.released(name),
      failed: (failure) => this.#journal.note('apt failed', { ...failure }),
      cyclesPerSecond: this.#options.cyclesPerSecond,
    });
    const walks = walkAgainAndAgain({
      ...shared,
      keyring: this.#stage.releases.key.publicBinary,
      everyMs: WALK_MS,
      lateMs: LATE_MS,
      failed: (fault) => this.#journal.note('a walk failed', { ...fault }),
    });
    return { stop, clients, walks };
  }

  async #did(site: SiteName, suite: string, from: number, to: number): Promise<SoakDid> {
    const stopped = this.#stops.some(
      (one) => one.site === site && one.from <= to && one.to + AFTER_STOP_MS >= from,
    );
    return { suite, stopped, rotten: this.#stage.rot.between(site, from, to) };
  }

  async #release(): Promise<void> {
    for (;;) {
      const decision = this.#decisions.release();
      if (decision === null || !(await this.#pause(decision.afterMs))) return;
      await this.#stage.releases.release(decision);
      this.#journal.note('release', { ...decision });
      void this.#tell(decision.suite);
    }
  }

  /** As the archive's own job does; the poll sees what the signal does not reach. */
  async #tell(suite: Suite): Promise<void> {
    if (this.#telling.has(suite)) return;
    this.#telling.add(suite);
    try {
      await sendDistributionChanged(await this.#stage.temporal(), suite);
    } catch (error) {
      this.#journal.note('no signal', { suite, error: String(error) });
    } finally {
      this.#telling.delete(suite);
    }
  }

  async #kill(): Promise<void> {
    const { servers } = this.#stage;
    const ways: Readonly<Record<Victim, () => Promise<void>>> = {
      'worker a': () => servers.killWorker('a'),
      'worker b': () => servers.killWorker('b'),
      Temporal: () => servers.killTemporal(),
      PostgreSQL: () => servers.killPostgres(),
    };
    for (;;) {
      const served = this.#publications;
      const decision = this.#decisions.kill();
      if (decision === null || !(await this.#pause(decision.afterMs))) return;
      const { victim } = decision;
      if (victim.startsWith('worker')) await this.#untilAnyUp();
      await this.#untilServed(served);
      await this.#alone(async () => {
        this.#journal.note('kill -9', { victim });
        await ways[victim]();
        this.#journal.note('started again', { victim });
        this.#kills[victim] = (this.#kills[victim] ?? 0) + 1;
      });
    }
  }

  /** Where machines are slow, workers that are always killed at their start would do nothing. */
  async #untilAnyUp(): Promise<void> {
    const deadline = Date.now() + WORKER_UP_MS;
    while (!this.#stage.servers.isAnyUp && Date.now() < deadline) {
      if (!(await this.#pause(200))) return;
    }
  }

  /** The next kill waits for something to break, but not long. @param before publications */
  async #untilServed(before: number): Promise<void> {
    const deadline = Date.now() + SERVED_MS;
    while (this.#publications === before && Date.now() < deadline) {
      if (!(await this.#pause(200))) return;
    }
  }

  async #freeze(): Promise<void> {
    for (;;) {
      const decision = this.#decisions.freeze();
      if (decision === null || !(await this.#pause(decision.afterMs))) return;
      const { worker, ms } = decision;
      this.#journal.note('freeze', { worker, ms });
      await this.#stage.servers.freezeWorker(worker, ms, this.#signal).catch(() => {});
      this.#freezes += 1;
    }
  }

  async #azurite(): Promise<void> {
    for (;;) {
      const decision = this.#decisions.azurite();
      if (decision === null || !(await this.#pause(decision.afterMs))) return;
      const { site, downMs } = decision;
      await this.#alone(async () => {
        const stop = { site, from: Date.now(), to: Number.MAX_SAFE_INTEGER };
        this.#stops.push(stop);
        this.#journal.note('stop Azurite', { site, downMs });
        await this.#stage.servers.stopAzurite(site, downMs);
        stop.to = Date.now();
        this.#journal.note('Azurite is back', { site });
        this.#azuriteStops += 1;
      });
    }
  }

  async #rot(): Promise<void> {
    for (;;) {
      const decision = this.#decisions.rot();
      if (decision === null || !(await this.#pause(decision.afterMs))) return;
      await this.#alone(async () => {
        const file = await this.#stage.rot.corrupt(decision);
        this.#journal.note(file === null ? 'nothing to corrupt' : 'corrupt', { ...decision, file });
      });
    }
  }

  async #backUp(): Promise<void> {
    const { restores, ms, script } = this.#options;
    if (script !== undefined && restores === 0) return;
    const start = Date.now();
    const everyMs = Math.min(BACKUP_MS, ms / (restores + 1) / 3);
    for (let restored = 0; ;) {
      const nextRestore = start + ((restored + 1) * ms) / (restores + 1);
      const isRestore = restored < restores && Date.now() + everyMs > nextRestore;
      const wait = isRestore ? Math.max(0, nextRestore - Date.now()) : everyMs;
      if (!(await this.#pause(wait))) return;
      if (isRestore) {
        await this.#alone(() => this.#restore());
        restored += 1;
      } else await this.#alone(() => this.#takeBackup());
    }
  }

  /**
   * None of a database that was restored before a worker has seen that it was: the backup would be
   * the same again.
   */
  async #takeBackup(): Promise<void> {
    if ((await this.#epoch()) < this.#restores) return this.#journal.note('no backup yet');
    const { name } = await this.#backups.take();
    this.#backupCount += 1;
    this.#journal.note('backup', { name });
  }

  /** How often debgeo has seen that its database was restored. */
  async #epoch(): Promise<number> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const { read } = await this.#stage.database();
        return (await one(read, sql<{ epoch: number }>`select epoch from deployment`))!.epoch;
      } catch (error) {
        if (attempt === TRIES) throw error; // connections of before a kill are closed one by one
        await sleep(100);
      }
    }
  }

  /** As docs/operating.md says: the workers are stopped meanwhile. */
  async #restore(): Promise<void> {
    const { servers } = this.#stage;
    if (this.#backups.oldest === undefined) await this.#takeBackup();
    const backup = this.#backups.oldest;
    if (backup === undefined) return this.#journal.note('no restore: there is no backup');
    const ageSeconds = (Date.now() - backup.at) / 1_000;
    this.#journal.note('restore', { name: backup.name, ageSeconds });
    const { hotRestores } = this.#options;
    if (!hotRestores) await Promise.all(WORKERS.map((name) => servers.stopWorker(name)));
    await this.#backups.restore(backup);
    if (!hotRestores) for (const name of WORKERS) servers.startWorker(name);
    this.#restores += 1;
    this.#journal.note('restored', { name: backup.name });
  }

  /** Until the end of the faults: what is repaired, what is on record, who ended by himself. */
  async #watch(): Promise<void> {
    while (await this.#pause(CHECK_MS)) {
      for (const { site, path, how, end, since } of await this.#stage.rot.check())
        this.#journal.note(end!, { site, path, how, afterSeconds: (Date.now() - since) / 1_000 });
      await this.#lookAtIncidents().catch(() => {});
      await this.#lookAtSites();
      await this.#alone(async () => {
        for (const ended of this.#stage.servers.restartEnded()) {
          if (UNREACHABLE.test(ended)) this.#refusedStarts += 1;
          else this.#ended.push(ended);
          this.#journal.note('ended by itself', { ended });
        }
      });
    }
  }

  async #lookAtIncidents(): Promise<void> {
    const { read } = await this.#stage.database();
    const found = await all(
      read,
      sql<{ site: string; path: string }>`
        select s.name as site, i.path
        from incidents i
        join replication_sites s on s.id = i.site_id
        where i.code = 'BLOB_CORRUPT'
          and i.path is not null`,
    );
    for (const { site, path } of found) this.#onRecord.add(`${site} ${path}`);
  }

  async #lookAtSites(): Promise<void> {
    for (const { site, suite, url } of this.#stage.readers) {
      const found = await ask(url, `dists/${suite}/InRelease`).catch(() => null);
      if (found?.status !== 200) continue;
      const release = digest('sha256', found.bytes);
      const where = `${site} ${suite}`;
      if (this.#served.has(where) && this.#served.get(where) !== release) {
        this.#publications += 1;
        this.#journal.note('serves', { site, suite, release });
      }
      this.#served.set(where, release);
    }
  }

  /** @returns false: the faults are over */
  async #pause(ms: number): Promise<boolean> {
    await sleep(ms, undefined, { signal: this.#signal }).catch(() => {});
    return !this.#signal.aborted;
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => {});
    return mine;
  }
}
