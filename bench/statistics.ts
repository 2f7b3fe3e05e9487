/** What a few rounds say, and what they do not say. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly rounds: number;
}

/** @throws RangeError without any value: there is no median then */
export function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) throw new RangeError('nothing was measured');
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const median =
    sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, min: sorted[0]!, max: sorted.at(-1)!, rounds: sorted.length };
}

/** `unknown`: a single round of either has no spread to compare the difference with. */
export type Difference = 'slower' | 'faster' | 'noise' | 'unknown';

export interface Comparison {
  /** Median of one over median of the other: above 1, one took longer. */
  readonly ratio: number;
  readonly difference: Difference;
}

/** A difference of medians that is smaller than the wider spread of the rounds is noise. */
export function compare(one: readonly number[], other: readonly number[]): Comparison {
  const [a, b] = [spreadOf(one), spreadOf(other)];
  return { ratio: a.median / b.median, difference: differenceOf(a, b) };
}

function differenceOf(a: Spread, b: Spread): Difference {
  if (a.rounds < 2 || b.rounds < 2) return 'unknown';
  const widest = Math.max(a.max - a.min, b.max - b.min);
  if (Math.abs(a.median - b.median) < widest) return 'noise';
  return a.median > b.median ? 'slower' : 'faster';
}
