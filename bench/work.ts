import type { Book } from './book.ts';
import type { CorpusPlan } from './corpus.ts';
import type { Testbed } from './testbed.ts';

/** What every work is given. */
export interface Bench {
  readonly testbed: Testbed;
  readonly book: Book;
  /** Divides a size of the full run by `--divide`. */
  readonly sized: (full: number, least?: number) => number;
  /** Whether peers take part. */
  readonly peers: boolean;
  /** Where workers write CPU profiles; null: none is made. */
  readonly profileFolder: string | null;
}

/** Works that build on each other, measured together in every round. */
export interface WorkGroup {
  /** As `--only` takes them. */
  readonly works: readonly string[];
  /** Measured only when `--only` names it. */
  readonly onlyByName?: boolean;
  /** At most so many rounds, whatever `--rounds` says. */
  readonly roundsMax?: number;
  /** Makes its corpora. @throws Error with the reason for which the group is skipped */
  prepare(bench: Bench): Promise<void>;
  round(bench: Bench, round: number): Promise<void>;
}

/** The size is part of the name, so that a smaller run has corpora of its own. */
export const sizedName = (name: string, size: number): CorpusPlan['name'] => `${name}-${size}`;
