/**
 * A scripted world for tests of what runs when: rows in memory with `rev`, as PostgreSQL would
 * answer, and activities that do nothing but change them. What activities really do is tested in
 * test/activities.
 */
import { Context } from '@temporalio/activity';

import type { Activities } from '../../activities/index.ts';
import { needsPerson, type ErrorCode } from '../../src/domain/errors.ts';
import {
  isParked,
  type Command,
  type Replication,
  type ReplicationStatus,
  type Roster,
  type SitePrune,
  type Tuning,
} from '../../src/domain/replication.ts';
import {
  archiveQueue,
  DEFAULT_TUNING,
  HOUR,
  newPlace,
  newPrune,
  removedRoster,
  type Distribution,
  type Hold,
  coded,
  type Place,
  type StepInput,
} from './scripted-rows.ts';
import { ScriptedScrubs } from './scripted-scrubs.ts';

export type ActivityName = keyof Activities;

interface Call {
  readonly activity: ActivityName;
  readonly distribution: string;
  readonly site: string | null;
  readonly generation: number | null;
}

type Effect = 'effect' | 'no effect';

export class ScriptedWorld {
  readonly calls: Call[] = [];
  readonly activities: Activities;
  readonly scrubs = new ScriptedScrubs((activity, at) =>
    this.#begin(activity, at).then(() => this.#act(activity, at)),
  );
  /** How long a lane waits after a failure, and the capture loop after one of its own. */
  backoffMs = 100;
  parkedMs = HOUR;
  pollMs = HOUR;
  /** The clock of the database, less Temporal's. */
  clockMs = 0;
  slices = 2;
  readonly #distributions = new Map<string, Distribution>();
  readonly #pruned = new Map<string, { row: SitePrune; slices: number }>();
  readonly #scripts = new Map<string, ((signal: AbortSignal) => Promise<Effect>)[]>();
  #rev = 0;
  #ticket = 0;

  constructor() {
    this.activities = {
      ...this.#captureActivities(),
      ...this.#laneActivities(),
      ...this.#pruneActivities(),
      ...this.scrubs.activities,
    };
  }

  add(
    name: string,
    sites: readonly string[],
    tuning: Partial<Tuning> = {},
    archive = 'debian',
  ): void {
    this.#distributions.set(name, {
      name,
      archive,
      generation: 0,
      released: 1,
      removed: false,
      code: null,
      nextLookAt: 0,
      rev: ++this.#rev,
      tuning: { ...DEFAULT_TUNING, ...tuning },
      places: new Map(),
    });
    for (const site of sites) this.addSite(name, site);
  }

  /** @param queue of the workers that can reach it; its own unless given */
  addSite(name: string, site: string, queue?: string): void {
    const distribution = this.#of(name);
    const place = newPlace(site, distribution.generation, ++this.#rev, queue);
    distribution.places.set(site, place);
  }

  /**
   * A site to be pruned, with what it has to delete in slices; its activities are scripted under
   * the distribution `''`.
   */
  addPruned(site: string, slices = 2): void {
    this.#pruned.set(site, { row: newPrune(site), slices });
  }

  /** Of a site that is pruned; `change` as if an operator had written it. */
  pruned(site: string, change: Partial<SitePrune> = {}): SitePrune {
    const found = this.#pruned.get(site);
    if (found === undefined) throw new Error(`the test prunes no site ${site}`);
    found.row = { ...found.row, ...change };
    return found.row;
  }

  /** As if an operator had written it into the row. */
  change(name: string, site: string, change: Partial<Replication>): void {
    this.#set({ distribution: name, site }, change);
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

  /** The next call does nothing, and answers as if all were well; a capture: `interrupted`. */
  ignore(activity: ActivityName, name: string, site: string | null = null): void {
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
    if (distribution.code !== null || rows.some((row) => isParked(row))) return 'failed';
    const done = (row: Replication): boolean =>
      row.state === 'synced' && row.served === distribution.generation && row.served > 0;
    return rows.length > 0 && rows.every(done) ? 'success' : 'pending';
  }

  #set(at: { distribution: string; site: string }, change: Partial<Replication>): Replication {
    const place = this.#place(at.distribution, at.site);
    const ticket = (this.#ticket += 1_000);
    place.row = { ...place.row, ...change, rev: ++this.#rev, ticket };
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
    if (found === undefined || found.removed)
      return removedRoster(name, found?.tuning ?? DEFAULT_TUNING, ++this.#rev);
    const { generation, code, nextLookAt, tuning, rev } = found;
    const archive = {
      url: `https://${found.archive}.example.org/debian`,
      queue: archiveQueue(found.archive),
    };
    const replications = [...found.places.values()].map(({ row }) => row);
    return {
      distribution: name,
      removed: false,
      generation,
      status: this.#statusOf(found),
      code,
      nextLookAt: nextLookAt + this.clockMs,
      nextLookInMs: nextLookAt - Date.now(),
      archive,
      tuning,
      replications,
      rev,
    };
  }

  #exists(at: { distribution: string; site: string }): boolean {
    return this.#distributions.get(at.distribution)?.places.has(at.site) ?? false;
  }

  #captureActivities(): Pick<
    Activities,
    'loadRoster' | 'captureSnapshot' | 'recordCaptureFailure'
  > {
    return {
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
        const isInterrupted = (await this.#act('captureSnapshot', input)) === 'no effect';
        const seen = this.#roster(input.distribution);
        if (isInterrupted) return { outcome: 'interrupted', generation: 0, roster: seen };
        const distribution = this.#distributions.get(input.distribution);
        if (distribution === undefined || distribution.removed)
          return { outcome: 'unchanged', generation: 0, roster: seen };
        const outcome = released > distribution.generation ? 'captured' : 'unchanged';
        return { outcome, generation: released, roster: this.#capture(distribution, released) };
      },
      recordCaptureFailure: async (input) => {
        await this.#begin('recordCaptureFailure', input);
        await this.#act('recordCaptureFailure', input);
        return this.#setDistribution(this.#of(input.distribution), {
          code: input.report.code,
          nextLookAt: Date.now() + this.backoffMs,
        });
      },
    };
  }

  #capture(distribution: Distribution, generation: number): Roster {
    const nextLookAt = Date.now() + this.pollMs;
    this.#setDistribution(distribution, { generation, code: null, nextLookAt });
    for (const [site, { row }] of distribution.places) {
      if (row.target >= generation) continue;
      const isLifted = row.state === 'synced' || row.state === 'cancelled';
      const state = isLifted ? 'pending' : row.state;
      this.#set({ distribution: distribution.name, site }, { target: generation, state });
    }
    return this.#setDistribution(distribution, {});
  }

  #laneActivities(): Pick<
    Activities,
    | 'applyOrder'
    | 'recordFailure'
    | 'planSync'
    | 'syncBlobs'
    | 'checksumBlobs'
    | 'verifySnapshot'
    | 'publishSnapshot'
    | 'probeSite'
  > {
    return {
      applyOrder: async (input) => {
        await this.#begin('applyOrder', input);
        await this.#act('applyOrder', input);
        return this.#exists(input) ? this.#command(input, input) : null;
      },
      recordFailure: async (input) => {
        await this.#begin('recordFailure', input);
        await this.#act('recordFailure', input);
        return this.#exists(input) ? this.#fail(input, input.report.code) : null;
      },
      planSync: this.#step('planSync', (input, place) => this.#plan(input, place)),
      syncBlobs: this.#step('syncBlobs', (input, place) => {
        if (input.plan) this.#plan(input, place);
        if (place.missing > 0) place.copied += 1;
        place.missing = Math.max(0, place.missing - 1);
        return { more: place.missing > 0 };
      }),
      checksumBlobs: this.#step('checksumBlobs', (_, place) => {
        if (place.rotten === 0) return;
        place.rotten -= 1;
        place.missing = 1;
        return { repair: 1 };
      }),
      verifySnapshot: this.#step('verifySnapshot', () => undefined),
      publishSnapshot: this.#step('publishSnapshot', (input, place) => {
        this.#set(input, { served: input.generation, publishing: false });
        if (input.probe) this.#finish(input, place);
      }),
      probeSite: this.#step('probeSite', (input, place) => this.#finish(input, place)),
    };
  }

  #plan({ generation }: StepInput, place: Place): void {
    if (place.row.served < generation && place.missing === 0) place.missing = this.slices;
  }

  #finish(input: StepInput, { row, chainBegan }: Place): void {
    const isAskedAgain = (row.verifyRequestedAt ?? 0) > chainBegan;
    this.#set(input, {
      state: row.target > input.generation ? 'pending' : 'synced',
      pinned: null,
      retryCount: 0,
      retryAt: null,
      code: null,
      verifyRequestedAt: isAskedAgain ? row.verifyRequestedAt : null,
    });
  }

  /** As a step of a lane: it takes its place in the row, does its work, answers with the row. */
  #step(
    activity: ActivityName,
    effect: (input: StepInput, place: Place) => { more?: boolean; repair?: number } | void,
  ) {
    const assertExists = (input: StepInput): void => {
      if (!this.#exists(input)) throw coded({ code: 'NAME_UNKNOWN', message: 'no such pair' });
    };
    return async (input: StepInput) => {
      await this.#begin(activity, input);
      assertExists(input);
      const begun = this.#place(input.distribution, input.site);
      if (begun.fence > (input.ticket ?? Infinity)) {
        const ticket = (this.#ticket += 1_000);
        return { stale: true, more: true, repair: 0, row: { ...begun.row, ticket } } as const;
      }
      begun.fence = input.ticket ?? begun.fence;
      if (activity === 'planSync' || input.plan) begun.chainBegan = Date.now();
      this.#set(input, {
        state: 'started',
        pinned: input.generation,
        ...(activity === 'publishSnapshot' ? { publishing: true } : {}),
      });
      const acted = await this.#act(activity, input);
      assertExists(input);
      const place = this.#place(input.distribution, input.site);
      const answer = acted === 'effect' ? effect(input, place) : undefined;
      return {
        more: answer?.more ?? false,
        repair: answer?.repair ?? 0,
        row: place.row,
        ...(input.plan && acted === 'effect' ? { planned: true } : {}),
      };
    };
  }

  #fail(at: { distribution: string; site: string }, code: ErrorCode): Replication {
    this.#place(at.distribution, at.site).fence = this.#ticket += 1_000;
    const { retryCount, publishing, pinned, target } = this.row(at.distribution, at.site);
    const unpinned = publishing ? pinned : null;
    if (code === 'SUPERSEDED' && target > (pinned ?? 0))
      return this.#set(at, { state: 'pending', pinned: unpinned });
    const retryAt = Date.now() + (needsPerson(code) ? this.parkedMs : this.backoffMs);
    const failed = { state: 'failed', code, pinned: unpinned, retryAt } as const;
    return this.#set(at, { ...failed, retryCount: retryCount + 1 });
  }

  #pruneActivities(): Pick<
    Activities,
    'loadPrune' | 'planPrune' | 'pruneBlobs' | 'pruneCatalog' | 'recordPruneFailure'
  > {
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
      recordPruneFailure: (input) => {
        const nextAt = Date.now() + this.backoffMs;
        return pruning('recordPruneFailure', input, () => ({ code: input.report.code, nextAt }));
      },
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
    if (command.want === 'cancel')
      this.#place(at.distribution, at.site).fence = this.#ticket += 1_000;
    if (command.want === 'cancel' && !row.publishing && row.state !== 'synced')
      change = { ...change, state: 'cancelled', pinned: null, retryAt: null };
    return this.#set(at, change);
  }
}
