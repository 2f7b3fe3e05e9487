/** The one line that a run ends with; null: not measured in this run. */
export interface Outcome {
  /** First syncs, verify and two sites: how many times as long as the floor. */
  readonly firstSmall: number | null;
  readonly firstReal: number | null;
  /** Seconds of a poll that finds nothing changed. */
  readonly nothingChanged: number | null;
  /** How many times as long rclone takes for the same delta. */
  readonly delta: number | null;
  readonly verify: number | null;
  readonly twoSites: number | null;
  /** Peak of the worker's resident set, bytes. */
  readonly rss: number | null;
}

export function lastLine(outcome: Outcome): string {
  const times = (value: number | null): string => (value === null ? '-' : `${value.toFixed(2)}x`);
  const parts = [
    `first-small ${times(outcome.firstSmall)} floor`,
    `first-real ${times(outcome.firstReal)} floor`,
    `nothing-changed ${outcome.nothingChanged === null ? '-' : outcome.nothingChanged.toFixed(3)} s`,
    `delta ${times(outcome.delta)} rclone`,
    `verify ${times(outcome.verify)} floor`,
    `two-sites ${times(outcome.twoSites)} floor`,
    `rss ${outcome.rss === null ? '-' : Math.round(outcome.rss / 1e6)} MB`,
  ];
  return `bench: ${parts.join(', ')}`;
}
