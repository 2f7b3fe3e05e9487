/** One schedule: its commands, and then quiet, in which everything has to become whole. */
import fc from 'fast-check';

import {
  Broken,
  Command,
  commandsArb,
  type Counts,
  type Line,
  type Model,
  type Real,
} from './commands.ts';
import { SUITES } from './releases.ts';
import { deleteRottenNames } from './rot.ts';
import { HOUR_MS, SITES, type SiteName, type System } from './system.ts';
import { differencesOf, type Finding } from './watch.ts';

/** A lane that is parked is given again so often, and no command of an operator is needed more. */
const ROUNDS_MAX = 14;
/** The rounds in which no time passes: what was deleted lately is remembered. */
const ROUNDS_AT_ONCE = 2;
const SLICES_MAX = 20;
export const COMMANDS_MAX = 40;

export const newCounts = (): Counts => ({
  schedules: 0,
  commands: 0,
  faults: 0,
  steps: 0,
  kinds: {},
});

/**
 * Faults stop. Where the sites are not what the archive released last, each suite releases once
 * more, without the path on which they may disagree for ever. Within a bounded number of rounds
 * each site is what is released, and the rows say so (I10, I11).
 */
export async function becomeQuiet(system: System): Promise<void> {
  while (system.driver.frozen.length > 0) await system.driver.thaw(0);
  await judged(system, 'the last was thawed');
  if (differences(system).length === 0) return;
  system.archive.isDown = false;
  const isWhole = SITES.every((site) => system.configured.sites.has(site));
  if (!isWhole || SUITES.some((suite) => !system.configured.suites.has(suite))) {
    system.configured = { sites: new Set(SITES), suites: new Set(SUITES) };
    await system.configure();
  }
  system.driver.forget();
  for (const suite of SUITES)
    await system.release({ suite, packages: 5, shared: null, xz: 'unlisted' }, true);
  for (let round = 0; round < ROUNDS_MAX && !isAtRest(system, round); round += 1)
    if (await isQuietAfter(system, round)) return;
  const { lastFailure } = system.driver;
  throw new Broken(
    differences(system),
    `quiet rounds; last failure ${JSON.stringify(lastFailure)}`,
  );
}

/** What the rows call fine behind several rounds stays as it is. */
const isAtRest = ({ rows }: System, round: number): boolean =>
  round > ROUNDS_AT_ONCE + 1 &&
  rows.lanes.every(({ state, status }) => state === 'synced' && status === 'success');

/** Each round does more than what the one before did not settle. */
async function isQuietAfter(system: System, round: number): Promise<boolean> {
  const { driver } = system;
  const isOver = async (): Promise<boolean> => {
    await judged(system, `quiet, round ${round}`);
    return differences(system).length === 0;
  };
  if (round < 2) for (const suite of SUITES) await driver.capture(suite);
  await replicateAll(system);
  if (await isOver()) return true;
  for (const site of SITES)
    for (let slices = 0; slices < SLICES_MAX && !(await driver.scrub(site));) slices += 1;
  await replicateAll(system);
  if (await isOver()) return true;
  for (const site of SITES) await driver.prune(site);
  if (round >= ROUNDS_AT_ONCE) await system.pass(2 * HOUR_MS);
  return false;
}

async function replicateAll({ driver, rows, sites }: System): Promise<void> {
  for (const { suite, site, state, paused, code } of rows.lanes) {
    // as its remedy says: rot under an ETag of its own is another program's for debgeo
    if (code === 'FOREIGN_WRITE') deleteRottenNames(sites.get(site as SiteName)!);
    if (paused) await driver.command(suite, site, { paused: false });
    if (state === 'cancelled') await driver.command(suite, site, { want: 'retry' });
    await driver.chain(suite, site);
  }
}

async function judged(system: System, after: string): Promise<void> {
  const findings = await system.judge();
  if (findings.length > 0) throw new Broken(findings, after);
}

const differences = (system: System): Finding[] =>
  [...system.sites].flatMap(([site, { watch, standIn }]) =>
    [...system.archive.current.values()].flatMap((newest) =>
      differencesOf(
        watch,
        standIn.blobs,
        newest,
        system.rows.lanes.find((row) => row.suite === newest.suite && row.site === site),
      ),
    ),
  );

/** How a schedule begins, and its commands. */
export type Schedule = readonly ['served' | 'empty', ...Line[]];

export async function play(
  system: System,
  counts: Counts,
  [start, ...lines]: Schedule,
): Promise<void> {
  await playing(system, counts, start, async (model, real) => {
    for (const command of lines.map((line) => new Command(line)))
      if (command.check(model)) await command.run(model, real);
  });
}

async function playing(
  system: System,
  counts: Counts,
  start: Schedule[0],
  work: (model: Model, real: Real) => Promise<void>,
): Promise<void> {
  counts.schedules += 1;
  await system.begin(start);
  try {
    await work({ hasBackup: false, copies: new Set() }, { system, counts });
    await becomeQuiet(system);
  } finally {
    counts.faults += system.driver.faults;
    counts.steps += system.driver.steps;
  }
}

/** Schedules of one system, each when the one before is over, also where its time was. */
export class Turns {
  /** What the last schedule failed with; null: nothing. */
  broken: unknown = null;
  readonly #system: System;
  #last: Promise<unknown> = Promise.resolve();

  constructor(system: System) {
    this.#system = system;
  }

  take = <T>(work: (system: System) => Promise<T>): Promise<T> => {
    const turn = this.over().then(() => work(this.#system));
    this.#last = turn;
    return turn;
  };

  /** Never rejects. */
  over = (): Promise<void> =>
    this.#last.then(
      () => void (this.broken = null),
      (error: unknown) => void (this.broken = error),
    );
}

/** @param take a system that is free, until its schedule is over */
export const schedules = (
  take: <T>(work: (system: System) => Promise<T>) => Promise<T>,
  counts: Counts,
  options: { readonly replayPath?: string } = {},
) =>
  fc.asyncProperty(
    fc.constantFrom('served' as const, 'served' as const, 'empty' as const),
    commandsArb({ maxCommands: COMMANDS_MAX, ...options }),
    (start, commands) =>
      take((system) =>
        playing(system, counts, start, (model, real) =>
          fc.asyncModelRun(() => ({ model, real }), commands),
        ),
      ),
  );
