/** CPU profiles of workers: where they are written, and what the measured part of them shows. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { summarize, type CpuProfile, type ProfileSummary, type Window } from './profile-groups.ts';
import { table } from './report.ts';
import type { Bench } from './work.ts';

const WINDOW = '.window.json';
/** Threads that were busy for less (some of the SDK's) get no table. */
const SHOWN_SECONDS = 0.2;

export interface Profiling {
  /** For openInstallation; empty without --profile. */
  readonly options: { readonly profileFolder?: string };
  /** Marks the part of the profile that is shown. */
  during<T>(work: string, measured: () => Promise<T>): Promise<T>;
}

/** The profile of one worker, named after the first work that the worker does. */
export function openProfile({ profileFolder }: Bench, name: string, round: number): Profiling {
  if (profileFolder === null) return { options: {}, during: (_, measured) => measured() };
  const folder = join(profileFolder, `${name}-${round}`);
  mkdirSync(folder, { recursive: true });
  return {
    options: { profileFolder: folder },
    async during(work, measured) {
      const from = microseconds();
      const result = await measured();
      writeFileSync(
        join(folder, work + WINDOW),
        JSON.stringify({ from, to: microseconds() } satisfies Window),
      );
      return result;
    },
  };
}

/** V8's profiles use the clock of hrtime (CLOCK_MONOTONIC). */
const microseconds = (): number => Number(process.hrtime.bigint() / 1000n);

/** One section per profiled work; its worker must have ended. */
export function describeProfiles(profileFolder: string): string[] {
  return readdirSync(profileFolder)
    .toSorted()
    .flatMap((name) => {
      const folder = join(profileFolder, name);
      const files = readdirSync(folder);
      const profiles = files
        .filter((file) => file.endsWith('.cpuprofile'))
        .map((file) => ({
          file,
          profile: JSON.parse(readFileSync(join(folder, file), 'utf8')) as CpuProfile,
        }));
      return files
        .filter((file) => file.endsWith(WINDOW))
        .flatMap((windowFile) => {
          const window = JSON.parse(readFileSync(join(folder, windowFile), 'utf8')) as Window;
          return profiles
            .map(({ file, profile }) => ({ file, summary: summarize(profile, window) }))
            .filter(({ summary }) => summary.busySeconds >= SHOWN_SECONDS)
            .sort((a, b) => b.summary.busySeconds - a.summary.busySeconds)
            .flatMap(({ file, summary }) =>
              section(windowFile.slice(0, -WINDOW.length), join(folder, file), summary),
            );
        });
    });
}

function section(
  name: string,
  file: string,
  { groups, functions, busySeconds, idleSeconds }: ProfileSummary,
): string[] {
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
