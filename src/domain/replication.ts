/**
 * States of a replication and of a blob at a site, and the rows that workflows decide on.
 * Import-safe for workflows: no builtin, no I/O; plain JSON (times are milliseconds since 1970).
 */
import { needsPerson, type ErrorCode } from './errors.ts';

/**
 * `debian_distributions.replication_status`: failed if anything is parked, refused or expired;
 * success if every enabled site serves the newest generation, verified.
 */
export type ReplicationStatus = 'pending' | 'success' | 'failed';
export type ReplicationState = 'pending' | 'started' | 'synced' | 'failed' | 'cancelled';
/**
 * `pruning`: being deleted, since no kept snapshot names it; a lane that needs it copies it anew.
 */
export type BlobState = 'pending' | 'started' | 'synced' | 'failed' | 'pruning';

/**
 * One (distribution, site) pair as PostgreSQL holds it. `rev` comes from a sequence: the larger is
 * the newer.
 */
export interface Replication extends Ticketed {
  readonly site: string;
  /** Task queue of the workers that can reach the site. */
  readonly queue: string;
  /** The newest captured generation, 0 before the first. */
  readonly target: number;
  /**
   * The generation that the lane works on; kept until published, failed without an open
   * publication, or cancelled.
   */
  readonly pinned: number | null;
  /** What the site serves, 0 nothing. */
  readonly served: number;
  readonly state: ReplicationState;
  readonly paused: boolean;
  /** Between the first published name and InRelease there is no other way than through. */
  readonly publishing: boolean;
  /**
   * The request for checksum, judging and repair that is to be answered next; null when none waits.
   */
  readonly verifyRequestedAt: number | null;
  readonly retryCount: number;
  /**
   * When a failed lane tries again. Null with state failed, in rows of workers before 2026-12 only:
   * not before `retry`.
   */
  readonly retryAt: number | null;
  /** How long that was when the row was read; see byOurClock. */
  readonly retryInMs?: number | null;
  readonly code: ErrorCode | null;
  /**
   * Since when incidents of this lane are open; null when none is. Absent in rows of workers before
   * 2026-11-30.
   */
  readonly failedSince?: number | null;
  /** What has been done and what there is to do, for the generation in work. */
  readonly filesDone: number;
  readonly filesTotal: number;
  readonly bytesDone: number;
  readonly bytesTotal: number;
  /** The distribution's status as computed in the transaction that wrote this row. */
  readonly distributionStatus: ReplicationStatus;
  readonly rev: number;
}

/**
 * What may be tuned for one distribution; comes with the roster, never from the workflow's input.
 */
export interface Tuning {
  /** A burst of changes is gathered this long behind the first one. */
  readonly gatherMs: number;
  /** Continue-as-new waits this long for running slices, then cancels them. */
  readonly drainMs: number;
  /**
   * Continue as new at this many events even if the server does not suggest it yet; tests make it
   * small.
   */
  readonly historyEventsMax: number;
}

export interface Roster {
  readonly distribution: string;
  /** Removed by `state: absent`, or never there: the workflow ends. */
  readonly removed: boolean;
  readonly generation: number;
  readonly status: ReplicationStatus;
  /** Of the last look at the archive, null when it was fine. */
  readonly code: ErrorCode | null;
  readonly nextLookAt: number;
  /** How long that was when the roster was read; see rosterByOurClock. */
  readonly nextLookInMs?: number;
  /**
   * The archive, with the task queue of its captures. Absent in rosters of workers before
   * 2026-11-30, as the two times below.
   */
  readonly archive?: { readonly url: string; readonly queue: string };
  readonly lookedAt?: number | null;
  /** Since when looks fail; null when the last one was fine. */
  readonly failedSince?: number | null;
  readonly tuning: Tuning;
  readonly replications: readonly Replication[];
  /** As of a replication: the larger is the newer. */
  readonly rev: number;
}

/** What the workflow of a site decides on, as PostgreSQL holds it: its prune. */
export interface SitePrune extends Ticketed {
  readonly site: string;
  /** Task queue of the workers that can reach the site. */
  readonly queue: string;
  /** Not there, or `state: absent`: nothing is deleted, and the workflow ends. */
  readonly enabled: boolean;
  /** By an operator: nothing is deleted. Absent in rows of workers before 2026-12. */
  readonly paused?: boolean;
  readonly nextAt: number;
  /** How long that was when the row was read; see pruneByOurClock. */
  readonly nextInMs?: number;
  readonly startedAt: number | null;
  /** Of the last run that ended well. */
  readonly endedAt: number | null;
  /** What the run that began at startedAt has deleted at the site so far, and from the catalog. */
  readonly blobs: number;
  readonly bytes: number;
  readonly snapshots: number;
  /** That run reached its share: the rest is for the next ones. */
  readonly more: boolean;
  /** Of the last run, null when it was fine. */
  readonly code: ErrorCode | null;
}

/** The same of its scrub. */
export interface SiteScrub extends Ticketed {
  readonly site: string;
  /** Task queue of the workers that can reach the site. */
  readonly queue: string;
  /** When the next slice, or the next pass, begins; null: off, paused or not enabled. */
  readonly nextAt: number | null;
  /** How long that was when the row was read; see scrubByOurClock. */
  readonly nextInMs?: number | null;
  /** Of the pass in work, or of the last one. */
  readonly startedAt: number | null;
  /** Of the last pass; null: one is in work, or none ever was. */
  readonly endedAt: number | null;
  /** When the last complete pass began. */
  readonly lastStartedAt: number | null;
  /** What the site had when the pass began, and what was read of it. */
  readonly filesTotal: number;
  readonly bytesTotal: number;
  readonly files: number;
  readonly bytes: number;
  /** Files that it found wrong or missing; and of those, repaired by itself. */
  readonly wrong: number;
  readonly repaired: number;
  /** Of the last slice, null when it was fine. */
  readonly code: ErrorCode | null;
}

/**
 * The independent wishes of an operator for one lane; the last of each wins, so they stay bounded
 * however many arrive.
 */
export interface Command {
  readonly want?: 'retry' | 'cancel';
  readonly paused?: boolean;
  readonly verify?: boolean;
}

/** By event: the states that it may find, and the one that it leaves. */
type Transitions<State> = Readonly<
  Record<string, { readonly from: readonly State[]; readonly to: State }>
>;

/**
 * The legal transitions of a replication (rows) by what happens to it. Anything else is a bug or a
 * late result, and changes nothing.
 */
export const REPLICATION_TRANSITIONS = {
  captured: { from: ['pending', 'synced', 'cancelled'], to: 'pending' },
  start: { from: ['pending', 'started', 'synced', 'failed'], to: 'started' },
  sync: { from: ['started'], to: 'synced' },
  /**
   * Published, and a newer generation was captured meanwhile, or a scrub found something wrong.
   */
  'sync-behind': { from: ['started'], to: 'pending' },
  fail: { from: ['pending', 'started', 'synced', 'failed'], to: 'failed' },
  /** The bytes of its generation are gone everywhere, and a newer generation exists. */
  supersede: { from: ['pending', 'started'], to: 'pending' },
  /** A scrub found a file wrong that the served or the newest generation names. */
  rot: { from: ['synced'], to: 'pending' },
  /** What the site serves was read from the site itself: all of it is to be read back. */
  adopt: { from: ['pending', 'started', 'synced', 'failed'], to: 'pending' },
  cancel: { from: ['pending', 'started', 'failed'], to: 'cancelled' },
  retry: { from: ['failed', 'cancelled'], to: 'pending' },
} as const satisfies Transitions<ReplicationState>;

export type ReplicationEvent = keyof typeof REPLICATION_TRANSITIONS;

/** The legal transitions of one blob at one site (`blob_registry.state`). */
export const BLOB_TRANSITIONS = {
  claim: { from: ['pending', 'started'], to: 'started' },
  sync: { from: ['started'], to: 'synced' },
  fail: { from: ['started'], to: 'failed' },
  release: { from: ['started'], to: 'pending' },
  corrupt: { from: ['synced'], to: 'pending' },
  plan: { from: ['failed', 'pruning'], to: 'pending' },
  /**
   * Other bytes are wanted at a path that never was verified here; `started` only where its attempt
   * is over.
   */
  replace: { from: ['pending', 'started', 'failed'], to: 'pending' },
  /** No kept snapshot names it any more. `started` only where its attempt is dead. */
  prune: { from: ['pending', 'started', 'synced', 'failed'], to: 'pruning' },
} as const satisfies Transitions<BlobState>;

export type BlobEvent = keyof typeof BLOB_TRANSITIONS;

/**
 * Whether a lane has something to do that is not held by pause or cancel. Those hold
 * nothing while a publication is open: between the first published name and InRelease there is no
 * other way than through.
 */
export const isBehind = (r: Replication): boolean =>
  r.publishing ||
  (!r.paused &&
    r.state !== 'cancelled' &&
    r.target > 0 &&
    (r.served < r.target || r.state !== 'synced' || r.verifyRequestedAt !== null));

/** Failed with what needs a person, or something else to change; it tries again all the same. */
export const isParked = (r: Pick<Replication, 'state' | 'code'>): boolean =>
  r.state === 'failed' && r.code !== null && needsPerson(r.code);

/** Whether the lane should work now. */
export const isDue = (r: Replication, now: number): boolean =>
  isBehind(r) && (r.state !== 'failed' || (r.retryAt !== null && now >= r.retryAt));

/**
 * The generation to work on: the pinned one first, else a busy archive would keep a slow site from
 * ever publishing.
 */
export const generationOf = (r: Replication): number => r.pinned ?? r.target;

/**
 * What a step brings of the row that it was decided on with: steps are ordered by it
 * (src/database/claims.ts). Rows of older histories have none.
 */
export interface Ticketed {
  readonly ticket?: number;
}

export const ticketOf = ({ ticket }: Ticketed): Ticketed =>
  ticket === undefined ? {} : { ticket };

/**
 * Rows as a workflow takes them: a deadline is so far away as the database said, by the workflow's
 * own clock. Of two clocks that differ, the time of one is long past for the other, and a poll that
 * is due whenever it is asked would be a busy loop. Rows of older histories have only the time.
 * @param now of the workflow, when the row came
 */
export function byOurClock({ retryInMs, ...row }: Replication, now: number): Replication {
  return typeof retryInMs === 'number' ? { ...row, retryAt: now + retryInMs } : row;
}

export function rosterByOurClock({ nextLookInMs, ...roster }: Roster, now: number): Roster {
  const replications = roster.replications.map((row) => byOurClock(row, now));
  const nextLookAt = nextLookInMs === undefined ? roster.nextLookAt : now + nextLookInMs;
  return { ...roster, nextLookAt, replications };
}

export const scrubByOurClock = ({ nextInMs = null, ...row }: SiteScrub, now: number): SiteScrub =>
  nextInMs === null ? row : { ...row, nextAt: now + nextInMs };

export const pruneByOurClock = ({ nextInMs, ...row }: SitePrune, now: number): SitePrune =>
  nextInMs === undefined ? row : { ...row, nextAt: now + nextInMs };

/**
 * How long a failed lane waits: Geo's curve n⁴ + 15 s with up to 30 s × (n+1) of jitter, scaled so
 * that `initialMs` stands for its 15 s, capped. There is no last attempt.
 * @param random in [0, 1)
 */
export const backoffMs = (
  failures: number,
  random: number,
  initialMs: number,
  capMs: number,
): number =>
  Math.round(
    Math.min(capMs, ((failures ** 4 + 15 + random * 30 * (failures + 1)) * initialMs) / 15),
  );
