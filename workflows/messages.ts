/**
 * The names and shapes by which clients and the worker speak to the workflows `distribution/<name>`
 * and `site/<name>`. Import-safe: only names, no workflow code, no I/O.
 */
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';

import type { ErrorReport } from '../src/domain/errors.ts';
import type { Command, Roster, SitePrune } from '../src/domain/replication.ts';

export const WORKFLOW_TYPE = 'distribution';

/** Where an operator reads on, as the Temporal UI shows it. */
export const RUNBOOK = 'docs/operating.md of debgeo';

/**
 * Task queue of what needs the database alone: workflows, bookkeeping, plans. Captures run on the
 * queue of their archive, where the roster names one.
 */
export const QUEUE = 'debgeo';

export const workflowId = (distribution: string): string => `${WORKFLOW_TYPE}/${distribution}`;

export interface DistributionInput {
  readonly distribution: string;
  /** Given by continue-as-new only: what is not committed to PostgreSQL yet. */
  readonly carry?: Carry;
}

export interface Carry {
  /** A look was asked for and has not begun. */
  readonly look: boolean;
  /** By site: the operator's command that is not committed to the site's row yet. */
  readonly orders: Readonly<Record<string, Command>>;
}

/**
 * `undefined` or `{}`: all sites, which is what a person sends from the Temporal UI. Anything else
 * is logged and changes nothing.
 */
export type SiteArgument = { readonly site?: string } | undefined;

/** "Look at the archive, and at your rows." What to install is never in a signal. */
export const distributionChanged = defineSignal('distributionChanged');
/**
 * Failed, parked or cancelled lanes start at once, and the retry count begins anew. Without a site,
 * the archive is looked at, too.
 */
export const retry = defineSignal<[SiteArgument?]>('retry');
/**
 * Stops bytes at once and holds until `retry` or a newer generation. A publication that has begun
 * is finished first.
 */
export const cancel = defineSignal<[SiteArgument?]>('cancel');
/** Lets the slice end and holds until `resume`. A publication that has begun is finished first. */
export const pause = defineSignal<[SiteArgument?]>('pause');
export const resume = defineSignal<[SiteArgument?]>('resume');
/** Reads every blob back, judges and repairs, even when all is synced. */
export const verify = defineSignal<[SiteArgument?]>('verify');

export const SIGNALS = { distributionChanged, retry, cancel, pause, resume, verify } as const;
export type SignalName = keyof typeof SIGNALS;

/**
 * The rows as the workflow knows them. `debgeo status` reads PostgreSQL instead and needs no
 * worker. Null: the run has just begun.
 */
export const status = defineQuery<Roster | null>('status');

export interface LookOutcome {
  /**
   * Of the first capture that began after the Update arrived. `again`: the run ended before it
   * (continued as new), ask the next run. `removed`: there is no such distribution (any more).
   */
  readonly outcome: 'captured' | 'unchanged' | 'failed' | 'again' | 'removed';
  /** With captured and unchanged: the newest generation. */
  readonly generation?: number;
  /** With failed. */
  readonly report?: ErrorReport;
}

export const look = defineUpdate<LookOutcome>('look');

/** `pending`, `success` or `failed`: the distribution's replication_status. */
export const ReplicationState = defineSearchAttributeKey(
  'ReplicationState',
  SearchAttributeType.KEYWORD,
);
/** Names of the sites whose replication is failed; the first LIMITS.shownSites of them. */
export const FailedSites = defineSearchAttributeKey(
  'FailedSites',
  SearchAttributeType.KEYWORD_LIST,
);
/** How many they are in all. */
export const FailedCount = defineSearchAttributeKey('FailedCount', SearchAttributeType.INT);
/** Names of the sites that do not serve the newest generation; the first LIMITS.shownSites. */
export const LaggingSites = defineSearchAttributeKey(
  'LaggingSites',
  SearchAttributeType.KEYWORD_LIST,
);

/** How many they are in all. */
export const LaggingCount = defineSearchAttributeKey('LaggingCount', SearchAttributeType.INT);

export const SEARCH_ATTRIBUTES = [
  ReplicationState,
  FailedSites,
  FailedCount,
  LaggingSites,
  LaggingCount,
] as const;

export const SITE_WORKFLOW_TYPE = 'site';

export const siteWorkflowId = (site: string): string => `${SITE_WORKFLOW_TYPE}/${site}`;

export interface SiteInput {
  readonly site: string;
  /** Given by continue-as-new only: whether a prune was asked for and has not begun. */
  readonly carry?: { readonly asked: boolean };
}

export interface PruneOutcome {
  /**
   * Of the first prune that began after the Update arrived. `again`: one was in work already, ask
   * the next run. `removed`: there is no such site (any more).
   */
  readonly outcome: 'pruned' | 'failed' | 'again' | 'removed';
  /** With pruned and failed: counts of what was deleted, and when the next one begins. */
  readonly row?: SitePrune;
  /** With failed. */
  readonly report?: ErrorReport;
}

/** "Delete now what no kept snapshot names", and answer when that ended. */
export const prune = defineUpdate<PruneOutcome>('prune');
/** The same, for a client that does not wait. */
export const pruneNow = defineSignal('prune');

/** An operator changed the site's rows: paused it, asked for a scrub. */
export const siteChanged = defineSignal('siteChanged');

/** The row as the workflow knows it. Null: the run has just begun. */
export const pruneStatus = defineQuery<SitePrune | null>('status');
