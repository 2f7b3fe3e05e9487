/** Random schedules until the time is over, or a promise is broken. */
import fc from 'fast-check';

import { newCounts, play, schedules, type Schedule } from './schedule.ts';
import { System } from './system.ts';

const MINUTE_MS = 60_000;
const SECOND_MS = 1_000;

interface SoakOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly isShrinking: boolean;
  /** Of a finding: that one alone, as fast-check names it. */
  readonly path?: string;
}

/** @returns whether every promise was kept */
export async function soak(urls: readonly string[], options: SoakOptions): Promise<boolean> {
  const { seed, minutes, isShrinking, path } = options;
  const systems = await Promise.all(urls.map((url) => System.start(url)));
  const counts = newCounts();
  const began = performance.now();
  try {
    const broken = await Promise.all(
      systems.map((system, index) =>
        fc.check(
          schedules((work) => work(system), counts),
          {
            seed: seed + index,
            numRuns: Number.MAX_SAFE_INTEGER,
            interruptAfterTimeLimit: minutes * MINUTE_MS,
            endOnFailure: !isShrinking,
            ...(path === undefined ? {} : { path }),
          },
        ),
      ),
    );
    const seconds = (performance.now() - began) / SECOND_MS;
    const kinds = Object.entries(counts.kinds).toSorted(([one], [other]) => (one < other ? -1 : 1));
    for (const [kind, count] of kinds) console.log(`${String(count).padStart(8)}  ${kind}`);
    console.log(
      `seed ${seed}: ${counts.schedules} schedules, ${counts.commands} commands, ` +
        `${counts.faults} faults injected, ${counts.steps} activities, ${seconds.toFixed(0)} s`,
    );
    const findings = broken.filter(({ failed }) => failed);
    for (const finding of findings) print(finding);
    if (findings.length === 0) console.log('no finding');
    return findings.length === 0;
  } finally {
    for (const system of systems) await system.close();
  }
}

type Finding = fc.RunDetails<Parameters<ReturnType<typeof schedules>['run']>[0]>;

function print({ seed, counterexamplePath, counterexample, errorInstance, numShrinks }: Finding) {
  const [start, commands] = counterexample!;
  const lines = [...commands].map(String);
  console.log(`--seed ${seed} --path ${counterexamplePath}, shrunk ${numShrinks} times:`);
  console.log(String((errorInstance as Error | null)?.message ?? errorInstance));
  console.log(`--schedule '[${[JSON.stringify(start), ...lines].join(',\n  ')}]'`);
}

/** @returns whether every promise was kept */
export async function playOnce(url: string, schedule: string): Promise<boolean> {
  const system = await System.start(url);
  try {
    await play(system, newCounts(), JSON.parse(schedule) as Schedule);
    console.log('no finding');
    return true;
  } catch (error) {
    console.log(error);
    return false;
  } finally {
    await system.close();
  }
}
