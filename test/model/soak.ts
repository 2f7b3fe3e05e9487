/** Random schedules until the time is over, or a promise is broken. */
import fc from 'fast-check';

import type { Counts } from './commands.ts';
import { newCounts, play, schedules, Turns, type Schedule } from './schedule.ts';
import { System } from './system.ts';

const MINUTE_MS = 60_000;

export interface SoakOptions {
  /** Of databases with all tables: a schedule at a time in each. */
  readonly urls: readonly string[];
  /** Of the first database; each has its own. */
  readonly seed: number;
  readonly minutes: number;
  readonly isShrinking: boolean;
  /** Of a finding: that one alone, as fast-check names it. */
  readonly path?: string | undefined;
}

export interface Report {
  readonly counts: Counts;
  /** As they are printed. */
  readonly findings: readonly string[];
}

export async function soak({ urls, seed, ...options }: SoakOptions): Promise<Report> {
  const { minutes, isShrinking, path } = options;
  const systems = await Promise.all(urls.map((url) => System.start(url)));
  const counts = newCounts();
  try {
    const found = await Promise.all(
      systems.map(async (system, index) => {
        const turns = new Turns(system);
        const result = await fc.check(schedules(turns.take, counts), {
          seed: seed + index,
          numRuns: Number.MAX_SAFE_INTEGER,
          interruptAfterTimeLimit: minutes * MINUTE_MS,
          endOnFailure: !isShrinking,
          ...(path === undefined ? {} : { path }),
        });
        await turns.over();
        return result;
      }),
    );
    return { counts, findings: found.filter(({ failed }) => failed).map(wordsOf) };
  } finally {
    for (const system of systems) await system.close();
  }
}

type Found = fc.RunDetails<Parameters<ReturnType<typeof schedules>['run']>[0]>;

function wordsOf(found: Found): string {
  const { seed, counterexamplePath, counterexample, errorInstance, numShrinks } = found;
  const [start, commands] = counterexample!;
  // its text has those that were run
  const lines =
    `${JSON.stringify(start)},${(commands as { toString(): string }).toString()}`.replace(
      / *\/\*.*\*\/ *$/,
      '',
    );
  return [
    `--seed ${seed} --path ${counterexamplePath}, shrunk ${numShrinks} times:`,
    errorInstance instanceof Error ? errorInstance.message : String(errorInstance),
    `--schedule '[${lines.replaceAll('],[', '],\n  [')}]'`,
  ].join('\n');
}

/** @returns what broke, or null */
export async function playOnce(url: string, schedule: string): Promise<string | null> {
  const system = await System.start(url);
  try {
    await play(system, newCounts(), JSON.parse(schedule) as Schedule);
    return null;
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  } finally {
    await system.close();
  }
}
