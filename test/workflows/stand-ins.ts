/**
 * A scripted world for tests of what runs when: rows in memory with `rev`, as PostgreSQL would
 * answer, and activities that do nothing but change them. What activities really do is tested where
 * they live.
 */
import { ApplicationFailure, Context } from '@temporalio/activity';

import type { Activities } from '../../activities/index.ts';
import { ruleOf, type ErrorCode, type ErrorReport } from '../../src/domain/errors.ts';
import type {
  Command,
  Replication,
  ReplicationStatus,
  Roster,
  SitePrune,
  Tuning,
} from '../../src/domain/replication.ts';
import { siteQueue } from '../../workflows/messages.ts';

export type ActivityName = keyof Activities;

interface Call {
  readonly activity: ActivityName;
  readonly distribution: string;
  readonly site: string | null;
  readonly generation: number | null;
}

interface Place {
  row: Replication;
  /** Slices of bytes that are not copied yet, and how many were copied in all. */
  missing: number;
  copied: number;
  /** How often a checksum will still find a blob whose bytes are wrong. */
  rotten: number;
  chainBegan: number;
}

interface Distribution {
  readonly name: string;
  generation: number;
  /** What the archive has released. */
  released: number;
  removed: boolean;
  code: ErrorCode | null;
  nextLookAt: number;
  rev: number;
  tuning: Tuning;
  readonly places: Map<string, Place>;
}

/** An activity that is held between its start and its effect. */
export interface Hold {
  /** Ends when an activity has come here. */
  readonly reached: Promise<void>;
  release(): void;
}

type Effect = 'effect' | 'no effect';

const HOUR = 3_600_000;

export class World {
  readonly calls: Call[] = [];
  readonly activities: Activities;
  /** How long a lane waits after a failure, and the capture loop after one of its own. */
  backoffMs = 100;
  pollMs = HOUR;
  slices = 2;
  readonly #distributions = new Map<string, Distribution>();
  readonly #pruned = new Map<string, { row: SitePrune; slices: number }>();
  readonly #scripts = new Map<string, ((signal: AbortSignal) => Promise<Effect>)[]>();
  #rev = 0;

  constructor() {
    this.activities = this.#createActivities();
  }

  add(name: string, sites: readonly string[], tuning: Partial<Tuning> = {}): void {
    const all: Tuning = { gatherMs: 20, drainMs: 1_500, historyEventsMax: 1e9, ...tuning };
    const facts = {
      generation: 0,
      released: 1,
      removed: false,
      code: null,
      nextLookAt: 0,
      rev: ++this.#rev,
      tuning: all,
    };
    this.#distributions.set(name, { name, ...facts, places: new Map() });
    for (const site of sites) this.addSite(name, site);
  }

  addSite(name: string, site: string): void {
    const distribution = this.#of(name);
    const row: Replication = {
      ...{
        site,
        queue: siteQueue(site),
        target: distribution.generation,
        pinned: null,
        served: 0,
        state: 'pending',
        paused: false,
      },
      ...{
        publishing: false,
        verifyRequestedAt: null,
        retryCount: 0,
        retryAt: null,
        code: null,
        distributionStatus: 'pending',
      },
      ...{ filesDone: 0, filesTotal: 0, bytesDone: 0, bytesTotal: 0, rev: ++this.#rev },
    };
    distribution.places.set(site, { row, missing: 0, copied: 0, rotten: 0, chainBegan: 0 });
  }

  /**
   * A site to be pruned, with what it has to delete in slices; its activities are scripted under
   * the distribution `''`.
   */
  addPruned(site: string, slices = 2): void {
    const nothing = {
      startedAt: null,
      endedAt: null,
      blobs: 0,
      bytes: 0,
      snapshots: 0,
      more: false,
      code: null,
    };
    const row: SitePrune = {
      site,
      queue: siteQueue(site),
      enabled: true,
      nextAt: Date.now() + HOUR,
      ...nothing,
    };
    this.#pruned.set(site, { row, slices });
  }

  /** Of a site that is pruned; `change` as if an operator had written it. */
  pruned(site: string, change: Partial<SitePrune> = {}): SitePrune {
    const found = this.#pruned.get(site);
    if (found === undefined) throw new Error(`the test prunes no site ${site}`);
    found.row = { ...found.row, ...change };
    return found.row;
  }

  removeSite(name: string, site: string): void {
    this.#of(name).places.delete(site);
  }

  remove(name: string): void {
    this.#of(name).removed = true;
  }

  release(name: string): number {
    return ++this.#of(name).released;
  }

  /** One blob rots, and again after each repair, `times` in all. */
  rot(name: string, site: string, times: number): void {
    this.#place(name, site).rotten = times;
  }

  row(name: string, site: string): Replication {
    return this.#place(name, site).row;
  }

  copied(name: string, site: string): number {
    return this.#place(name, site).copied;
  }

  count(activity: ActivityName, name: string, site: string | null = null): number {
    return this.calls.filter(
      (call) =>
        call.activity === activity &&
        call.distribution === name &&
        (site === null || call.site === site),
    ).length;
  }

  /** The steps of one lane in the order in which they began. */
  steps(name: string, site: string): ActivityName[] {
    return this.calls
      .filter((call) => call.distribution === name && call.site === site)
      .map((call) => call.activity);
  }

  /** The next call fails in this way instead of having its effect. */
  fail(activity: ActivityName, name: string, site: string | null, error: ErrorCode | Error): void {
    this.#script(activity, name, site, () =>
      Promise.reject(
        typeof error === 'string' ? coded({ code: error, message: 'scripted' }) : error,
      ),
    );
  }

  /**
   * The next call works until it is released or cancelled; publishSnapshot is held between two
   * published names.
   */
  hold(activity: ActivityName, name: string, site: string | null = null): Hold {
    const reached = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    this.#script(activity, name, site, async (signal) => {
      reached.resolve();
      const aborted = new Promise<never>((_, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason as Error)),
      );
      await Promise.race([released.promise, aborted]);
      return 'effect';
    });
    return { reached: reached.promise, release: released.resolve };
  }

  /** The next call answers as if all were well, and does nothing. */
  ignore(activity: ActivityName, name: string, site: string): void {
    this.#script(activity, name, site, () => Promise.resolve('no effect'));
  }

  #script(
    activity: ActivityName,
    name: string,
    site: string | null,
    act: (signal: AbortSignal) => Promise<Effect>,
  ): void {
    const key = `${activity} ${name} ${site}`;
    this.#scripts.set(key, [...(this.#scripts.get(key) ?? []), act]);
  }

  async #begin(
    activity: ActivityName,
    input: { distribution: string; site?: string; generation?: number },
  ): Promise<void> {
    const { distribution, site = null, generation = null } = input;
    this.calls.push({ activity, distribution, site, generation });
  }

  async #act(
    activity: ActivityName,
    input: { distribution: string; site?: string },
  ): Promise<Effect> {
    const script = this.#scripts
      .get(`${activity} ${input.distribution} ${input.site ?? null}`)
      ?.shift();
    if (script === undefined) return 'effect';
    const context = Context.current();
    const timer = setInterval(() => context.heartbeat(), 100);
    try {
      return await script(context.cancellationSignal);
    } finally {
      clearInterval(timer);
    }
  }

  #of(name: string): Distribution {
    const found = this.#distributions.get(name);
    if (found === undefined) throw new Error(`the test has no distribution ${name}`);
    return found;
  }

  #place(name: string, site: string): Place {
    const found = this.#of(name).places.get(site);
    if (found === undefined) throw new Error(`the test has no site ${site} of ${name}`);
    return found;
  }

  #statusOf(distribution: Distribution): ReplicationStatus {
    const rows = [...distribution.places.values()].map(({ row }) => row);
    if (
      distribution.code !== null ||
      rows.some((row) => row.state === 'failed' && row.retryAt === null)
    )
      return 'failed';
    const done = (row: Replication): boolean =>
      row.state === 'synced' && row.served === distribution.generation && row.served > 0;
    return rows.length > 0 && rows.every(done) ? 'success' : 'pending';
  }

  #set(at: { distribution: string; site: string }, change: Partial<Replication>): Replication {
    const place = this.#place(at.distribution, at.site);
    place.row = { ...place.row, ...change, rev: ++this.#rev };
    const distribution = this.#of(at.distribution);
    place.row = { ...place.row, distributionStatus: this.#statusOf(distribution) };
    return place.row;
  }

  #setDistribution(distribution: Distribution, change: Partial<Distribution>): Roster {
    Object.assign(distribution, change, { rev: ++this.#rev });
    return this.#roster(distribution.name);
  }

  #roster(name: string): Roster {
    const found = this.#distributions.get(name);
    if (found === undefined || found.removed) {
      const tuning: Tuning = found?.tuning ?? {
        gatherMs: 20,
        drainMs: 1_500,
        historyEventsMax: 1e9,
      };
      return {
        ...{
          distribution: name,
          removed: true,
          generation: 0,
          status: 'pending',
          code: null,
          nextLookAt: 0,
        },
        tuning,
        replications: [],
        rev: ++this.#rev,
      };
    }
    const { generation, code, nextLookAt, tuning, rev } = found;
    const replications = [...found.places.values()].map(({ row }) => row);
    return {
      distribution: name,
      removed: false,
      generation,
      status: this.#statusOf(found),
      code,
      nextLookAt,
      tuning,
      replications,
      rev,
    };
  }

  #createActivities(): Activities {
    const exists = (at: { distribution: string; site: string }): boolean =>
      this.#distributions.get(at.distribution)?.places.has(at.site) ?? false;
    /** As a step of a lane: it takes its place in the row, does its work, answers with the row. */
    type StepInput = { distribution: string; site: string; generation: number };
    const step =
      (
        activity: ActivityName,
        effect: (input: StepInput, place: Place) => { more?: boolean; repair?: number } | void,
      ) =>
      async (input: StepInput) => {
        await this.#begin(activity, input);
        if (!exists(input)) throw coded({ code: 'NAME_UNKNOWN', message: 'no such pair' });
        if (activity === 'planSync')
          this.#place(input.distribution, input.site).chainBegan = Date.now();
        this.#set(input, {
          state: 'started',
          pinned: input.generation,
          ...(activity === 'publishSnapshot' ? { publishing: true } : {}),
        });
        const acted = await this.#act(activity, input);
        if (!exists(input)) throw coded({ code: 'NAME_UNKNOWN', message: 'no such pair' });
        const answer =
          acted === 'effect'
            ? effect(input, this.#place(input.distribution, input.site))
            : undefined;
        return {
          more: answer?.more ?? false,
          repair: answer?.repair ?? 0,
          row: this.row(input.distribution, input.site),
        };
      };
    /** As a step of a prune. */
    const pruning = async (
      activity: ActivityName,
      { site }: { site: string },
      effect: () => Partial<SitePrune>,
    ): Promise<SitePrune> => {
      await this.#begin(activity, { distribution: '', site });
      await this.#act(activity, { distribution: '', site });
      return this.pruned(site, effect());
    };
    return {
      loadPrune: (input) => pruning('loadPrune', input, () => ({})),
      planPrune: (input) =>
        pruning('planPrune', input, () => ({ startedAt: Date.now(), blobs: 0 })),
      pruneBlobs: async (input) => {
        const row = await pruning('pruneBlobs', input, () => ({
          blobs: this.pruned(input.site).blobs + 1,
        }));
        return { more: row.blobs < this.#pruned.get(input.site)!.slices, row };
      },
      pruneCatalog: (input) =>
        pruning('pruneCatalog', input, () => ({
          endedAt: Date.now(),
          code: null,
          nextAt: Date.now() + HOUR,
        })),
      recordPruneFailure: (input) =>
        pruning('recordPruneFailure', input, () => ({
          code: input.report.code,
          nextAt: Date.now() + this.backoffMs,
        })),
      loadRoster: async (input) => {
        await this.#begin('loadRoster', input);
        const roster = this.#roster(input.distribution);
        // held behind the read: what changes meanwhile is not in it
        await this.#act('loadRoster', input);
        return roster;
      },
      captureSnapshot: async (input) => {
        await this.#begin('captureSnapshot', input);
        const released = this.#distributions.get(input.distribution)?.released ?? 0;
        await this.#act('captureSnapshot', input);
        const distribution = this.#distributions.get(input.distribution);
        if (distribution === undefined || distribution.removed)
          return { outcome: 'unchanged', generation: 0, roster: this.#roster(input.distribution) };
        const outcome = released > distribution.generation ? 'captured' : 'unchanged';
        this.#setDistribution(distribution, {
          generation: released,
          code: null,
          nextLookAt: Date.now() + this.pollMs,
        });
        for (const [site, { row }] of distribution.places)
          if (row.target < released)
            this.#set(
              { distribution: input.distribution, site },
              {
                target: released,
                ...(['synced', 'cancelled'].includes(row.state) ? { state: 'pending' } : {}),
              },
            );
        return { outcome, generation: released, roster: this.#setDistribution(distribution, {}) };
      },
      recordCaptureFailure: async (input) => {
        await this.#begin('recordCaptureFailure', input);
        return this.#setDistribution(this.#of(input.distribution), {
          code: input.report.code,
          nextLookAt: Date.now() + this.backoffMs,
        });
      },
      applyOrder: async (input) => {
        await this.#begin('applyOrder', input);
        await this.#act('applyOrder', input);
        return exists(input) ? this.#command(input, input) : null;
      },
      recordFailure: async (input) => {
        await this.#begin('recordFailure', input);
        if (!exists(input)) return null;
        const { retryCount, publishing, pinned, target } = this.row(input.distribution, input.site);
        const unpinned = publishing ? pinned : null;
        if (input.report.code === 'SUPERSEDED' && target > (pinned ?? 0))
          return this.#set(input, { state: 'pending', pinned: unpinned });
        const retryAt =
          ruleOf(input.report.code).then === 'person' ? null : Date.now() + this.backoffMs;
        return this.#set(input, {
          state: 'failed',
          code: input.report.code,
          pinned: unpinned,
          retryCount: retryCount + 1,
          retryAt,
        });
      },
      planSync: step('planSync', ({ generation }, place) => {
        if (place.row.served < generation && place.missing === 0) place.missing = this.slices;
      }),
      syncBlobs: step('syncBlobs', (_, place) => {
        if (place.missing > 0) place.copied += 1;
        place.missing = Math.max(0, place.missing - 1);
        return { more: place.missing > 0 };
      }),
      checksumBlobs: step('checksumBlobs', (_, place) => {
        if (place.rotten === 0) return;
        place.rotten -= 1;
        place.missing = 1;
        return { repair: 1 };
      }),
      verifySnapshot: step('verifySnapshot', () => undefined),
      publishSnapshot: step(
        'publishSnapshot',
        (input) => void this.#set(input, { served: input.generation, publishing: false }),
      ),
      probeSite: step('probeSite', (input, { row, chainBegan }) => {
        const asked =
          row.verifyRequestedAt !== null && row.verifyRequestedAt > chainBegan
            ? row.verifyRequestedAt
            : null;
        const cleared = {
          pinned: null,
          retryCount: 0,
          retryAt: null,
          code: null,
          verifyRequestedAt: asked,
        };
        this.#set(input, {
          state: row.target > input.generation ? 'pending' : 'synced',
          ...cleared,
        });
      }),
    };
  }

  #command(at: { distribution: string; site: string }, command: Command): Replication {
    const row = this.row(at.distribution, at.site);
    let change: Partial<Replication> = {};
    if (command.paused !== undefined) change = { ...change, paused: command.paused };
    if (command.verify) change = { ...change, verifyRequestedAt: Date.now() };
    if (command.want === 'retry' && ['failed', 'cancelled'].includes(row.state))
      change = { ...change, state: 'pending', retryAt: null, code: null };
    if (command.want === 'retry') change = { ...change, retryCount: 0 };
    if (command.want === 'cancel' && !row.publishing && row.state !== 'synced')
      change = { ...change, state: 'cancelled', pinned: null, retryAt: null };
    return this.#set(at, change);
  }
}

export const coded = (report: ErrorReport): ApplicationFailure =>
  ApplicationFailure.create({
    type: report.code,
    message: report.message,
    nonRetryable: true,
    details: [report],
  });

/** Polls until it is so. */
export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
  ms = 20_000,
): Promise<void> {
  const deadline = Date.now() + ms;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`did not happen within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
}
