import type { Book } from './book.ts';
import type { CorpusPlan } from './corpus.ts';
import type { Stage } from './stage.ts';

/** What every work is given. */
export interface Bench {
  readonly stage: Stage;
  readonly book: Book;
  /** A size of the full run, made smaller where the run is. */
  readonly sized: (full: number, least?: number) => number;
  /** Whether peers take part. */
  readonly peers: boolean;
  /** Where workers leave CPU profiles; null: no profile. */
  readonly profileFolder: string | null;
}

/** Works that build on one another, measured together in every round. */
export interface WorkGroup {
  /** As `--only` takes them. */
  readonly works: readonly string[];
  /** Not measured unless asked for by name, with the reason. */
  readonly onlyByName?: boolean;
  /** A long one is measured in fewer rounds. */
  readonly roundsMax?: number;
  /** Makes its corpora; throws with a reason that it is skipped for. */
  prepare(bench: Bench): Promise<void>;
  round(bench: Bench, round: number): Promise<void>;
}

/** Named by its size, so that a smaller run has corpora of its own. */
export const sizedName = (name: string, size: number): CorpusPlan['name'] => `${name}-${size}`;
