/**
 * Stands in for the workflows: gives steps in their order, brings tickets, counts attempts and
 * records failures as workflows/site-lane.ts, distribution.ts and site.ts do, one activity at a
 * time. It holds only what a workflow holds, so it may forget all of it at any time.
 */
import type { Activities } from '../../activities/index.ts';
import type { StepAnswer, Unanswered } from '../../activities/lane/step.ts';
import type { ErrorReport } from '../../src/domain/errors.ts';
import {
  byOurClock,
  generationOf,
  isDue,
  ticketOf,
  type Command,
  type Replication,
  type Roster,
} from '../../src/domain/replication.ts';
import type { Attempt, Fault } from './attempt.ts';
import { runAttempt, type Outcome } from './in-attempt.ts';
import type { Suite } from './releases.ts';
import type { SiteClock } from './stand-in.ts';

/** As workflows/activity-options.ts and site-lane.ts have them. */
const TRIES_MAX = 3;
const REPAIRS_MAX = 5;
const STEPS = ['syncBlobs', 'checksumBlobs', 'verifySnapshot', 'publishSnapshot'] as const;
type StepName = (typeof STEPS)[number];

/** A chain of steps of a lane. */
interface Chain {
  row: Replication;
  readonly generation: number;
  step: StepName;
  planned: boolean;
  bad: number;
  repairs: number;
  tries: number;
  /** The database was restored since: its generation may not be there. */
  isLost: boolean;
}

/** A prune of a site: its steps, each until it is through. */
const PRUNE_STEPS = ['planPrune', 'pruneBlobs', 'pruneCatalog'] as const;
interface Prune {
  step: (typeof PRUNE_STEPS)[number];
  ticket: { readonly ticket?: number };
  tries: number;
}

export interface Frozen {
  readonly what: string;
  readonly attempt: Attempt;
  readonly ended: Promise<unknown>;
  /** By the clock of the sites. */
  readonly since: number;
}

/** An activity failed without a code, and nothing was done to it. */
export class Uncoded extends Error {}

/** More of them are a lane that runs in circles. */
const STEPS_OF_CHAIN_MAX = 40;

export class Driver {
  readonly frozen: Frozen[] = [];
  /** Faults that came to pass. */
  faults = 0;
  steps = 0;
  /** What the last activities failed with, for whoever reads a finding. */
  lastFailure: ErrorReport | null = null;
  readonly #activities: Activities;
  readonly #scrubbing: Activities;
  readonly #unblock: (frozen: readonly Frozen[]) => Promise<void>;
  readonly #clock: SiteClock;
  readonly #chains = new Map<string, Chain>();
  readonly #prunes = new Map<string, Prune>();
  readonly #captures = new Map<Suite, number>();
  /** The highest `rev` of the rows of a suite that its workflow holds (seenRevOf). */
  readonly #seen = new Map<Suite, number>();

  constructor(
    activities: { readonly lanes: Activities; readonly scrubs: Activities },
    unblock: (frozen: readonly Frozen[]) => Promise<void>,
    clock: SiteClock,
  ) {
    this.#activities = activities.lanes;
    this.#scrubbing = activities.scrubs;
    this.#unblock = unblock;
    this.#clock = clock;
  }

  /** What works is given up, and rows are read again. */
  forget(): void {
    this.#chains.clear();
    this.#prunes.clear();
    this.#captures.clear();
  }

  /** Workflows go on with what they hold of a database that was restored. */
  restored(): void {
    for (const chain of this.#chains.values()) chain.isLost = true;
  }

  /** All workflows begin anew, as after their termination. */
  terminate(): void {
    this.forget();
    this.#seen.clear();
  }

  async killFrozen(): Promise<void> {
    for (const { attempt } of this.frozen) attempt.kill();
    await this.#settle(this.frozen.splice(0));
  }

  async thaw(index: number): Promise<void> {
    const thawed = this.frozen.splice(index, 1);
    for (const { attempt } of thawed) attempt.thaw();
    await this.#settle(thawed);
  }

  /** What was thawed may wait for what is frozen still. */
  async #settle(thawed: readonly Frozen[]): Promise<void> {
    for (const { ended } of thawed) {
      const outcome = await runAttempt(() => ended, this.#options(null, 1));
      if (outcome.is === 'frozen') throw new Error('frozen twice');
    }
  }

  #options(fault: Fault | null, tries: number) {
    const unblock = () => this.#unblock(this.frozen);
    const onHit = (): void => void (this.faults += 1);
    return { fault, tries, unblock, onHit, clock: this.#clock };
  }

  /** Null: the attempt is gone, or frozen; Temporal gives the next one. */
  async #run<T>(
    what: string,
    work: () => Promise<T>,
    fault: Fault | null,
    tries: number,
    isLost = false,
  ): Promise<Exclude<Outcome<T>, { is: 'frozen' }>> {
    this.steps += 1;
    const frozenBefore = this.frozen.length;
    const outcome = await runAttempt(work, this.#options(fault, tries));
    if (outcome.is === 'frozen') {
      const { attempt, ended } = outcome;
      this.frozen.push({ what, attempt, ended, since: this.#clock.now });
      return { is: 'killed' };
    }
    if (outcome.is !== 'failed') return outcome;
    this.lastFailure = outcome.report;
    if (outcome.report !== null) return outcome;
    const isOdd = fault !== null || frozenBefore > 0 || isLost;
    if (!isOdd && !isLostConnection(outcome.error))
      throw new Uncoded(`${what}: ${String(outcome.error)}`, { cause: outcome.error });
    return { is: 'killed' };
  }

  async #record<T>(what: string, work: () => Promise<T>): Promise<T> {
    const outcome = await this.#run(what, work, null, 1);
    if (outcome.is === 'done') return outcome.answer;
    throw new Uncoded(`${what} ${outcome.is}: ${JSON.stringify(this.lastFailure)}`);
  }

  async capture(suite: Suite, fault: Fault | null = null): Promise<void> {
    const tries = (this.#captures.get(suite) ?? 0) + 1;
    this.#captures.set(suite, tries);
    const input = { distribution: suite, unconditional: true, ...this.#seenOf(suite) };
    const look = async (): Promise<void> =>
      this.#saw(suite, (await this.#activities.captureSnapshot(input)).roster);
    const outcome = await this.#run(`capture ${suite}`, look, fault, tries);
    if (outcome.is === 'killed' && tries < TRIES_MAX) return;
    this.#captures.delete(suite);
    if (outcome.is === 'done') return;
    const report = outcome.is === 'failed' ? outcome.report! : UNKNOWN;
    const given = { distribution: suite, report };
    const record = () => this.#activities.recordCaptureFailure(given);
    this.#saw(suite, await this.#record('recordCaptureFailure', record));
  }

  #seenOf(suite: Suite): { seenRev?: number } {
    const seenRev = this.#seen.get(suite);
    return seenRev === undefined ? {} : { seenRev };
  }

  #saw(suite: Suite, { rev, replications }: Pick<Roster, 'rev' | 'replications'>): void {
    const revs = [rev, ...replications.map((row) => row.rev)];
    this.#seen.set(suite, Math.max(this.#seen.get(suite) ?? 0, ...revs));
  }

  /** As a worker has the workflow of a site do when it starts. */
  async confirm(site: string, fault: Fault | null = null): Promise<void> {
    const ask = (): Promise<void> => this.#scrubbing.confirmSite({ site });
    await this.#run(`confirmSite ${site}`, ask, fault, 1);
  }

  command(suite: Suite, site: string, command: Command): Promise<unknown> {
    const chain = this.#chains.get(`${suite}/${site}`);
    // a command stops what works
    if (chain !== undefined) this.#chains.delete(`${suite}/${site}`);
    const ticket = chain === undefined ? {} : ticketOf(chain.row);
    return this.#record('applyOrder', () =>
      this.#activities.applyOrder({ distribution: suite, site, ...command, ...ticket }),
    );
  }

  /** Steps until the lane rests, or one is lost. */
  async chain(suite: Suite, site: string): Promise<void> {
    for (let steps = 0; steps < STEPS_OF_CHAIN_MAX; steps += 1)
      if ((await this.laneStep(suite, site)) !== 'went on') return;
  }

  async laneStep(
    suite: Suite,
    site: string,
    fault: Fault | null = null,
  ): Promise<'rests' | 'went on' | 'lost' | 'failed'> {
    const name = `${suite}/${site}`;
    const chain = this.#chains.get(name) ?? (await this.#beginChain(suite, site));
    if (chain === null) return 'rests';
    this.#chains.set(name, chain);
    const input = {
      distribution: suite,
      site,
      generation: chain.generation,
      ...ticketOf(chain.row),
      ...(chain.step === 'syncBlobs' && !chain.planned ? { plan: true } : {}),
      ...(chain.step === 'publishSnapshot' ? { probe: true } : {}),
    };
    chain.tries += 1;
    const step = (): Promise<StepAnswer | Unanswered> => this.#activities[chain.step](input);
    const { tries, isLost } = chain;
    const outcome = await this.#run(`${chain.step} ${name}`, step, fault, tries, isLost);
    if (outcome.is === 'killed' && chain.tries < TRIES_MAX) return 'lost';
    if (outcome.is === 'done') return this.#goOn(name, chain, outcome.answer);
    await this.#recordFailure(suite, site, outcome.is === 'failed' ? outcome.report! : UNKNOWN);
    return 'failed';
  }

  async #beginChain(suite: Suite, site: string): Promise<Chain | null> {
    const input = { distribution: suite, ...this.#seenOf(suite) };
    const roster = await this.#record('loadRoster', () => this.#activities.loadRoster(input));
    this.#saw(suite, roster);
    const found = roster.replications.find((one) => one.site === site);
    if (found === undefined) return null;
    const row = byOurClock(found, Date.now());
    if (!isDue(row, Date.now())) return null;
    const generation = generationOf(row);
    const counts = { bad: 0, repairs: 0, tries: 0 };
    return { row, generation, step: STEPS[0], planned: false, isLost: false, ...counts };
  }

  async #goOn(
    name: string,
    chain: Chain,
    answer: StepAnswer | Unanswered,
  ): Promise<'went on' | 'failed'> {
    chain.tries = 0;
    const { row } = answer;
    const [suite, site] = name.split('/') as [Suite, string];
    if (row !== undefined) this.#saw(suite, { rev: row.rev, replications: [] });
    if (answer.stale) {
      this.#chains.delete(name);
      return 'went on';
    }
    if (row === undefined) chain.row = { ...chain.row, ticket: (chain.row.ticket ?? 0) + 1 };
    else if (row.rev >= chain.row.rev) chain.row = row;
    chain.planned ||= answer.planned ?? false;
    chain.bad += answer.repair;
    if (answer.more) return 'went on';
    if (chain.bad > 0 && ++chain.repairs > REPAIRS_MAX) {
      await this.#recordFailure(suite, site, { code: 'NOT_VERIFIED', message: 'wrong again' });
      return 'failed';
    }
    const next = STEPS[STEPS.indexOf(chain.step) + 1];
    if (chain.bad > 0) chain.step = 'syncBlobs';
    else if (next === undefined) this.#chains.delete(name);
    else chain.step = next;
    chain.bad = 0;
    return 'went on';
  }

  async #recordFailure(suite: Suite, site: string, report: ErrorReport): Promise<void> {
    const name = `${suite}/${site}`;
    const { row } = this.#chains.get(name)!;
    this.#chains.delete(name);
    await this.#record('recordFailure', () =>
      this.#activities.recordFailure({ distribution: suite, site, report, ...ticketOf(row) }),
    );
  }

  /** All steps, or up to the one that is lost; the next call goes on with that. */
  async prune(site: string, fault: Fault | null = null): Promise<void> {
    const known = this.#prunes.get(site);
    const row = await this.#record('loadPrune', () => this.#activities.loadPrune({ site }));
    const prune = known ?? { step: PRUNE_STEPS[0], ticket: ticketOf(row), tries: 0 };
    if (!row.enabled || row.paused === true) return void this.#prunes.delete(site);
    this.#prunes.set(site, prune);
    for (let steps = 0; steps < STEPS_OF_CHAIN_MAX; steps += 1) {
      prune.tries += 1;
      const { step, ticket, tries } = prune;
      const work = async (): Promise<{ more: boolean; row: { readonly ticket?: number } }> => {
        const answer = await this.#activities[step]({ site, ...ticket });
        return 'more' in answer && 'row' in answer ? answer : { more: false, row: answer };
      };
      const outcome = await this.#run(`${step} ${site}`, work, fault, tries);
      if (outcome.is === 'killed' && tries < TRIES_MAX) return;
      if (outcome.is !== 'done') {
        this.#prunes.delete(site);
        const report = outcome.is === 'failed' ? outcome.report! : UNKNOWN;
        const input = { site, ...ticket, report };
        await this.#record('recordPruneFailure', () => this.#activities.recordPruneFailure(input));
        return;
      }
      prune.tries = 0;
      prune.ticket = ticketOf(outcome.answer.row);
      if (outcome.answer.more) continue;
      const next = PRUNE_STEPS[PRUNE_STEPS.indexOf(step) + 1];
      if (next === undefined) return void this.#prunes.delete(site);
      prune.step = next;
    }
  }

  /** @returns whether the pass of the site is over, or failed: the next slice would, too */
  async scrub(site: string, fault: Fault | null = null): Promise<boolean> {
    const row = await this.#record('loadScrub', () => this.#activities.loadScrub({ site }));
    if (row.nextAt === null) return true;
    const input = { site, ...ticketOf(row) };
    const slice = () => this.#scrubbing.scrubSlice(input);
    const outcome = await this.#run(`scrubSlice ${site}`, slice, fault, 1);
    if (outcome.is === 'done') return outcome.answer.row.endedAt !== null;
    if (outcome.is === 'failed') {
      const failed = { ...input, report: outcome.report! };
      await this.#record('recordScrubFailure', () => this.#activities.recordScrubFailure(failed));
      return true;
    }
    return false;
  }
}

const UNKNOWN: ErrorReport = { code: 'UNKNOWN', message: 'its worker was lost three times' };

/** The session was ended because its transaction waited for a frozen machine. */
const isLostConnection = (error: unknown): boolean =>
  /terminat|Connection|ECONNRESET|57P01|25P03/.test(
    `${String(error)} ${(error as { code?: string }).code}`,
  );
