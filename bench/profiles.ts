/** CPU profiles of workers: where they are written, which part of them was measured, and what is in them. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { summarize, type CpuProfile, type ProfileSummary, type Window } from './profile-groups.ts';
import { table } from './report.ts';
import type { Bench } from './work.ts';

const WINDOW = 'window.json';
/** Threads of the SDK that do next to nothing are not worth a table. */
const SHOWN_SECONDS = 0.2;

export interface Profiling {
  /** For openWorld; nothing without --profile. */
  readonly options: { readonly profileFolder?: string };
  /** What is spent meanwhile is what the profile is asked about. */
  during<T>(work: () => Promise<T>): Promise<T>;
}

export function openProfile({ profileFolder }: Bench, work: string, round: number): Profiling {
  if (profileFolder === null) return { options: {}, during: (measured) => measured() };
  const folder = join(profileFolder, `${work}-${round}`);
  mkdirSync(folder, { recursive: true });
  return {
    options: { profileFolder: folder },
    async during(measured) {
      const from = microseconds();
      const result = await measured();
      writeFileSync(join(folder, WINDOW), JSON.stringify({ from, to: microseconds() } satisfies Window));
      return result;
    },
  };
}

/** The clock of V8's profiles is that of hrtime (CLOCK_MONOTONIC). */
const microseconds = (): number => Number(process.hrtime.bigint() / 1000n);

/** One section per profiled work, once its worker has ended. */
export function describeProfiles(profileFolder: string): string[] {
  return readdirSync(profileFolder)
    .toSorted()
    .flatMap((name) => {
      const folder = join(profileFolder, name);
      const window = JSON.parse(readFileSync(join(folder, WINDOW), 'utf8')) as Window;
      return readdirSync(folder)
        .filter((file) => file.endsWith('.cpuprofile'))
        .map((file) => ({ file, summary: summarize(JSON.parse(readFileSync(join(folder, file), 'utf8')) as CpuProfile, window) }))
        .filter(({ summary }) => summary.busySeconds >= SHOWN_SECONDS)
        .sort((a, b) => b.summary.busySeconds - a.summary.busySeconds)
        .flatMap(({ file, summary }) => section(name, join(folder, file), summary));
    });
}

function section(name: string, file: string, { groups, functions, busySeconds, idleSeconds }: ProfileSummary): string[] {
  const row = ({ name: what, seconds }: { name: string; seconds: number }) => [
    what,
    seconds.toFixed(2),
    `${((seconds / busySeconds) * 100).toFixed(1)} %`,
  ];
  return [
    `## Where the worker's time went: ${name}`,
    '',
    `One thread: ${busySeconds.toFixed(2)} s busy, ${idleSeconds.toFixed(2)} s idle. \`${file}\``,
    '',
    ...table([['group', 's', 'of busy'], ...groups.map(row)]),
    '',
    ...table([['function', 's', 'of busy'], ...functions.map(row)]),
    '',
  ];
}
