/** The last line of a run. null: not measured in this run. */
export interface Outcome {
  /** First syncs, verify and two sites: time of debgeo / time of the floor. */
  readonly firstSmall: number | null;
  readonly firstReal: number | null;
  /** Seconds of a poll that finds nothing changed. */
  readonly nothingChanged: number | null;
  /** Time of rclone / time of debgeo, for the same changes. */
  readonly delta: number | null;
  readonly verify: number | null;
  readonly twoSites: number | null;
  /** Peak of the worker's resident set, bytes. */
  readonly rss: number | null;
}

export function lastLine(outcome: Outcome): string {
  const times = (value: number | null): string => (value === null ? '-' : `${value.toFixed(2)}x`);
  const seconds = (value: number | null): string => (value === null ? '-' : value.toFixed(3));
  const parts = [
    `first-small ${times(outcome.firstSmall)} floor`,
    `first-real ${times(outcome.firstReal)} floor`,
    `nothing-changed ${seconds(outcome.nothingChanged)} s`,
    `delta ${times(outcome.delta)} rclone`,
    `verify ${times(outcome.verify)} floor`,
    `two-sites ${times(outcome.twoSites)} floor`,
    `rss ${outcome.rss === null ? '-' : Math.round(outcome.rss / 1e6)} MB`,
  ];
  return `bench: ${parts.join(', ')}`;
}
