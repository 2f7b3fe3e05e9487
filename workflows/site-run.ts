/** One run of the workflow of a site: what it knows, and how the Temporal UI shows it. */
import { setCurrentDetails } from '@temporalio/workflow';

import {
  pruneByOurClock,
  scrubByOurClock,
  type SitePrune,
  type SiteScrub,
} from '../src/domain/replication.ts';
import type { PruneOutcome } from './messages.ts';

export interface Run {
  readonly site: string;
  row: SitePrune | null;
  /** Null: this run began before there was a scrub. */
  scrub: SiteScrub | null;
  /** A signal, an Update or the run before asked for a prune, and it has not begun. */
  asked: boolean;
  /** An operator changed the rows: they are read again. */
  changed: boolean;
  /**
   * The prune of this run has begun, and may have judged already what is to go: an Update that
   * comes now is answered by the next run.
   */
  begun: boolean;
  outcome: PruneOutcome | null;
}

export function show(run: Run, row: SitePrune): void {
  run.row = pruneByOurClock(row, Date.now());
  showAll(run);
}

export function showScrub(run: Run, scrub: SiteScrub): void {
  run.scrub = scrubByOurClock(scrub, Date.now());
  showAll(run);
}

function showAll({ row, scrub }: Run): void {
  if (row === null) return;
  const last =
    row.startedAt === null
      ? 'never pruned'
      : `${row.blobs} blobs deleted by the last prune${row.more ? ', more to go' : ''}`;
  const failure = row.code === null ? '' : `, failed: ${row.code}`;
  const state = row.enabled ? (row.paused === true ? `paused, ${last}` : last) : 'removed';
  setCurrentDetails(`**${row.site}**: ${state}${failure}${scrub === null ? '' : passOf(scrub)}`);
}

function passOf({ startedAt, endedAt, files, filesTotal, wrong, code }: SiteScrub): string {
  if (startedAt === null) return ', never scrubbed';
  const pass = endedAt === null ? `${files} of ${filesTotal} files scrubbed` : 'scrubbed';
  return `, ${pass}, ${wrong} of them wrong${code === null ? '' : `, failed: ${code}`}`;
}
