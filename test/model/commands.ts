/**
 * What may happen to debgeo, its archive, its sites and its database: one command each. A command
 * is a line of JSON, as a finding prints it and as a schedule that is played again takes it.
 */
import fc from 'fast-check';

import { CORRUPTIONS } from '../support/corruptions.ts';
import { HOWS, PLACES, type Fault } from './attempt.ts';
import { SUITES, type Content, type Suite } from './releases.ts';
import { corrupt, emptyContainer, keepCopy, restoreCopy } from './rot.ts';
import { HOUR_MS, SITES, type SiteName, type System } from './system.ts';
import type { Finding } from './watch.ts';

/** What the generator has to know: what can be undone. */
export interface Model {
  hasBackup: boolean;
  copies: Set<SiteName>;
}

/** A promise is broken, by the command that the message names. */
export class Broken extends Error {
  readonly findings: readonly Finding[];

  constructor(findings: readonly Finding[], after: string) {
    const list = findings.map(({ broken, what }) => `  ${broken}: ${what}`);
    super([`after ${after}`, ...list].join('\n'));
    this.findings = findings;
  }
}

/** Counts of a run; those of shrinking are left out by who makes a new one. */
export interface Counts {
  schedules: number;
  commands: number;
  faults: number;
  steps: number;
  /** Commands by their kind. */
  readonly kinds: Record<string, number>;
}

export interface Real {
  readonly system: System;
  readonly counts: Counts;
}

const DEEDS = {
  release: async (system: System, of: Content, how: { drops: boolean; captured: boolean }) => {
    await system.release(of, how.drops);
    if (how.captured && system.configured.suites.has(of.suite))
      await system.driver.capture(of.suite);
  },
  capture: async ({ driver, configured }: System, suite: Suite, fault: Fault | null) => {
    if (configured.suites.has(suite)) await driver.capture(suite, fault);
  },
  /** One step of a lane. */
  step: ({ driver }: System, suite: Suite, site: SiteName, fault: Fault | null) =>
    driver.laneStep(suite, site, fault),
  /** Steps until the lane rests. */
  chain: ({ driver }: System, suite: Suite, site: SiteName) => driver.chain(suite, site),
  /** A machine that was frozen goes on. */
  thaw: async ({ driver }: System, which: number) => {
    if (driver.frozen.length > 0) await driver.thaw(which % driver.frozen.length);
  },
  pass: (system: System, hours: number) => system.pass(hours * HOUR_MS),
  prune: ({ driver }: System, site: SiteName, fault: Fault | null) => driver.prune(site, fault),
  scrub: ({ driver }: System, site: SiteName, fault: Fault | null) => driver.scrub(site, fault),
  order: async ({ driver, configured }: System, suite: Suite, site: SiteName, given: Order) => {
    if (configured.sites.has(site) && configured.suites.has(suite))
      await driver.command(suite, site, given);
  },
  /** A site or a suite is taken out of the configuration, or comes back; one stays of each. */
  apply: async (system: System, what: { site: SiteName } | { suite: Suite }) => {
    const { sites, suites } = system.configured;
    if ('site' in what) toggle(sites, what.site);
    else toggle(suites, what.suite);
    await system.configure();
    system.driver.forget();
  },
  /** Of the database. */
  backup: (system: System) => system.backUp(),
  restore: (system: System, workflows: 'live' | 'begin anew') => system.restore(workflows),
  /** As a worker does when it starts. */
  confirm: ({ driver }: System, site: SiteName, fault: Fault | null) => driver.confirm(site, fault),
  rot: corrupt,
  copy: keepCopy,
  'restore copy': restoreCopy,
  empty: emptyContainer,
  /** A look at a release that was not signed so (I8). */
  forge: async (system: System, suite: Suite) => {
    if (!system.configured.suites.has(suite)) return;
    const before = await system.catalogAndSites();
    system.archive.isForged = true;
    await system.driver.capture(suite);
    system.archive.isForged = false;
    if ((await system.catalogAndSites()) === before) return;
    throw new Broken([{ broken: 'I8', what: `a forgery of ${suite} changed something` }], 'forge');
  },
  archive: ({ archive }: System, state: 'down' | 'up') => void (archive.isDown = state === 'down'),
} satisfies Record<string, (system: System, ...args: never[]) => unknown>;

type Kind = keyof typeof DEEDS;
/** What is a fault by itself; those of attempts are counted when they come to pass. */
const FAULTS: ReadonlySet<Kind> = new Set(['restore', 'rot', 'restore copy', 'empty']);
type ArgsOf<K extends Kind> = (typeof DEEDS)[K] extends (system: any, ...args: infer Args) => any
  ? Args
  : never;
export type Line = { [K in Kind]: readonly [kind: K, ...args: ArgsOf<K>] }[Kind];

type Order = Parameters<System['driver']['command']>[2];
const ORDERS: readonly Order[] = [
  { paused: true },
  { paused: false },
  { want: 'cancel' },
  { want: 'retry' },
  { verify: true },
];

function toggle<One>(set: Set<One>, one: One): void {
  if (!set.delete(one) || set.size === 0) set.add(one);
}

export class Command implements fc.AsyncCommand<Model, Real> {
  readonly #line: Line;

  constructor(line: Line) {
    this.#line = line;
  }

  check({ hasBackup, copies }: Readonly<Model>): boolean {
    const [kind, site] = this.#line;
    if (kind === 'restore') return hasBackup;
    return kind !== 'restore copy' || copies.has(site as SiteName);
  }

  async run(model: Model, { system, counts }: Real): Promise<void> {
    const [kind, ...args] = this.#line;
    if (kind === 'backup') model.hasBackup = true;
    if (kind === 'copy') model.copies.add(args[0] as SiteName);
    counts.commands += 1;
    counts.kinds[kind] = (counts.kinds[kind] ?? 0) + 1;
    if (FAULTS.has(kind)) counts.faults += 1;
    await (DEEDS[kind] as (...all: unknown[]) => unknown)(system, ...args);
    const findings = await system.judge();
    if (findings.length > 0) throw new Broken(findings, this.toString());
  }

  toString(): string {
    return JSON.stringify(this.#line);
  }
}

const suite = fc.constantFrom(...SUITES);
const site = fc.constantFrom(...SITES);

const content: fc.Arbitrary<Content> = fc.record({
  suite,
  packages: fc.integer({ min: 1, max: 7 }),
  shared: fc.constantFrom(null, 'one' as const, 'two' as const),
  xz: fc.constantFrom('there' as const, 'absent' as const, 'unlisted' as const),
});

/** How many requests of each kind a step makes, about: what comes later never comes. */
const REACH = { site: 24, commit: 5, statement: 20 };
/** Where order matters most. */
const PLACES_THAT_MATTER = [
  ['site', 'PUT debian/dists'],
  ['site', 'PUT debian/pool'],
  ['site', 'PUT .debgeo'],
  ['site', 'InRelease'],
  ['site', 'DELETE'],
  ['statement', 'update blob_registry'],
  ['statement', 'insert into'],
  ['statement', 'claims'],
] as const;
const how = fc.constantFrom(...HOWS);
const fault: fc.Arbitrary<Fault> = fc.oneof(
  fc
    .constantFrom(...PLACES)
    .chain((at) =>
      fc.record({ at: fc.constant(at), n: fc.integer({ min: 1, max: REACH[at] }), how }),
    ),
  fc.constantFrom(...PLACES_THAT_MATTER).chain(([at, of]) =>
    fc.record({
      at: fc.constant(at),
      of: fc.constant(of),
      n: fc.integer({ min: 1, max: 3 }),
      how,
    }),
  ),
);
const maybe = fc.option(fault, { freq: 2, nil: null });

const line = <K extends Kind>(kind: K, ...args: fc.Arbitrary<unknown>[]): fc.Arbitrary<Command> =>
  fc.tuple(...args).map((given) => new Command([kind, ...given] as unknown as Line));

const manner = fc.record({
  drops: fc.boolean(),
  captured: fc.constantFrom(true, true, true, false),
});

/** How often each comes. */
const COMMANDS: readonly (readonly [weight: number, of: fc.Arbitrary<Command>])[] = [
  [8, line('release', content, manner)],
  [3, line('capture', suite, maybe)],
  [14, line('step', suite, site, maybe)],
  [7, line('chain', suite, site)],
  [6, line('thaw', fc.nat({ max: 3 }))],
  [5, line('pass', fc.constantFrom(0.1, 0.7, 1.2, 3))],
  [4, line('prune', site, maybe)],
  [4, line('scrub', site, maybe)],
  [5, line('rot', site, fc.nat({ max: 40 }), fc.constantFrom(...CORRUPTIONS))],
  [3, line('order', suite, site, fc.constantFrom(...ORDERS))],
  [1, line('apply', fc.oneof(fc.record({ site }), fc.record({ suite })))],
  [2, line('backup')],
  [6, line('restore', fc.constantFrom('live', 'begin anew'))],
  [1, line('confirm', site, maybe)],
  [2, line('copy', site)],
  [5, line('restore copy', site)],
  [1, line('empty', site)],
  [1, line('forge', suite)],
  [1, line('archive', fc.constantFrom('down', 'up'))],
];

export const commandsArb = (options: { maxCommands: number; replayPath?: string }) =>
  fc.commands<Model, Real, false>(
    COMMANDS.flatMap(([weight, of]) => Array.from({ length: weight }, () => of)),
    { ...options, size: 'max' },
  );
