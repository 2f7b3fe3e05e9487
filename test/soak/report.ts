/** What a soak found, as it is printed, and whether that is a failure. */
import type { ClientCounts } from './clients.ts';
import { byCount, type Corruptions, type Ending } from './ending.ts';
import type { WalkCounts } from './walks.ts';

export interface SoakReport {
  readonly seed: number;
  /** With faults. */
  readonly minutes: number;
  readonly releases: number;
  /** Other bytes of InRelease that were seen, at all sites. */
  readonly publications: number;
  /** kill -9, by victim. */
  readonly kills: Readonly<Record<string, number>>;
  readonly azuriteStops: number;
  readonly freezes: number;
  readonly backups: number;
  readonly restores: number;
  /** Processes that ended although the soak did not end them, but for `refusedStarts`. */
  readonly ended: readonly string[];
  /** Workers that started while a server was away, and were started again. */
  readonly refusedStarts: number;
  readonly corruptions: Corruptions;
  readonly clients: ClientCounts;
  readonly walks: WalkCounts;
  readonly ending: Ending;
}

export interface Verdict {
  readonly torn: number;
  readonly lost: number;
  readonly deletedWhileServed: number;
  readonly wronglyVerified: number;
  /** Empty: nothing is wrong. */
  readonly faults: readonly string[];
}

export function verdictOf({ clients, walks, ending, ended }: SoakReport): Verdict {
  const readings = [...clients.failures, ...walks.faults];
  const count = (cause: string): number =>
    readings.filter((reading) => reading.cause === cause).length;
  const torn = count('torn');
  const deletedWhileServed = count('deleted while served');
  const lost = ending.lost.length;
  const wronglyVerified = count('wrong bytes') + ending.wronglyVerified.length;
  const faults = [
    ...(torn > 0 ? [`torn ${torn}`] : []),
    ...(lost > 0 ? [`lost ${lost}`] : []),
    ...(deletedWhileServed > 0 ? [`deleted while served ${deletedWhileServed}`] : []),
    ...(wronglyVerified > 0 ? [`wrongly verified ${wronglyVerified}`] : []),
    ...ending.differences.map((one) => `status differs from the walk: ${one}`),
    ...(ending.secondsUntilWhole === null ? [`not whole: ${ending.lacks}`] : []),
    ...ended.map((one) => `ended by itself: ${one}`),
  ];
  return { torn, lost, deletedWhileServed, wronglyVerified, faults };
}

/** @param journal file of the events */
export function linesOf(report: SoakReport, journal: string): string[] {
  const { clients, walks, corruptions, kills, ending } = report;
  const { torn, lost, deletedWhileServed, wronglyVerified, faults } = verdictOf(report);
  const failures = byCount(clients.failures.map(({ cause }) => cause));
  const walkFaults = byCount(walks.faults.map(({ cause }) => cause));
  const killed = Object.values(kills).reduce((sum, count) => sum + count, 0);
  const seconds = ending.secondsUntilWhole;
  return [
    `seed ${report.seed}, ${report.minutes} minutes of faults`,
    `releases              ${report.releases}, published ${report.publications} times or more`,
    `kill -9               ${killed}: ${named(kills)}`,
    `Azurite stopped       ${report.azuriteStops}`,
    `workers frozen        ${report.freezes}`,
    `starts without server ${report.refusedStarts}`,
    `backups, restores     ${report.backups}, ${report.restores}`,
    `corruptions           ${corruptions.made} made: ${named(corruptions.byHow)}`,
    `  repaired            ${corruptions.repaired}, of which on record ${corruptions.onRecord}`,
    `  named by nothing    ${corruptions.pruned} when the soak ended, or pruned before`,
    `  not repaired        ${corruptions.left}`,
    `apt cycles            ${clients.cycles}, ${clients.files} packages with the right bytes`,
    `  failed              ${clients.failures.length}: ${named(failures)}`,
    `walks in process      ${walks.walks}, ${walks.late} files read again before the grace ended`,
    `  failed              ${walks.faults.length}: ${named(walkFaults)}`,
    `torn ${torn}, lost ${lost}, deleted while served ${deletedWhileServed}, ` +
      `wrongly verified ${wronglyVerified}`,
    seconds === null
      ? `not whole ${ending.waitedSeconds.toFixed(0)} s after the last fault`
      : `whole ${seconds.toFixed(1)} s after the last fault, and all read back after ` +
        `${ending.waitedSeconds.toFixed(1)} s`,
    ...ending.places.map(
      ({ site, suite, status, walk }) =>
        `${site} ${suite}: status ${status}; an independent walk ${walk}`,
    ),
    `events                ${journal}`,
    faults.length === 0 ? 'nothing is wrong' : `wrong: ${faults.join('\n       ')}`,
  ];
}

const named = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ') || 'none';
