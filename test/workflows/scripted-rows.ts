/** The rows of a scripted world as they are in the beginning. */
import { ApplicationFailure } from '@temporalio/activity';

import type { ErrorCode, ErrorReport } from '../../src/domain/errors.ts';
import type { Replication, Roster, SitePrune, Tuning } from '../../src/domain/replication.ts';

export const HOUR = 3_600_000;

/** Any name does: workflows and workers take it from the rows. */
export const siteQueue = (site: string): string => `debgeo-site-${site}`;

export const archiveQueue = (archive: string): string => `debgeo-archive-${archive}`;

export interface Distribution {
  readonly name: string;
  readonly archive: string;
  generation: number;
  /** What the archive has released. */
  released: number;
  removed: boolean;
  code: ErrorCode | null;
  nextLookAt: number;
  rev: number;
  tuning: Tuning;
  readonly places: Map<string, Place>;
}

/** A distribution at a site. */
export interface Place {
  row: Replication;
  /** Slices of bytes that are not copied yet. */
  missing: number;
  /** Slices of bytes that were copied, in all. */
  copied: number;
  /** How often a checksum will still find a blob with wrong bytes. */
  rotten: number;
  chainBegan: number;
  /** The newest ticket that came. */
  fence: number;
}

export const DEFAULT_TUNING: Tuning = { gatherMs: 20, drainMs: 1_500, historyEventsMax: 1e9 };

export const newPlace = (
  site: string,
  target: number,
  rev: number,
  queue: string = siteQueue(site),
): Place => ({
  row: {
    site,
    queue,
    target,
    pinned: null,
    served: 0,
    state: 'pending',
    paused: false,
    publishing: false,
    verifyRequestedAt: null,
    retryCount: 0,
    retryAt: null,
    code: null,
    filesDone: 0,
    filesTotal: 0,
    bytesDone: 0,
    bytesTotal: 0,
    distributionStatus: 'pending',
    rev,
  },
  missing: 0,
  copied: 0,
  rotten: 0,
  chainBegan: 0,
  fence: 0,
});

export const newPrune = (site: string): SitePrune => ({
  site,
  queue: siteQueue(site),
  enabled: true,
  nextAt: Date.now() + HOUR,
  startedAt: null,
  endedAt: null,
  blobs: 0,
  bytes: 0,
  snapshots: 0,
  more: false,
  code: null,
});

export const removedRoster = (distribution: string, tuning: Tuning, rev: number): Roster => ({
  distribution,
  removed: true,
  generation: 0,
  status: 'pending',
  code: null,
  nextLookAt: 0,
  tuning,
  replications: [],
  rev,
});

/** An activity that is held between its start and its effect. */
export interface Hold {
  /** Ends when an activity has come here. */
  readonly reached: Promise<void>;
  release(): void;
}

/** What an activity of a lane is given. */
export interface StepInput {
  readonly distribution: string;
  readonly site: string;
  readonly generation: number;
  readonly ticket?: number;
  readonly plan?: boolean;
  readonly probe?: boolean;
}

export const coded = (report: ErrorReport): ApplicationFailure =>
  ApplicationFailure.create({
    type: report.code,
    message: report.message,
    nonRetryable: true,
    details: [report],
  });
