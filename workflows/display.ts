/**
 * Makes the Temporal UI readable by itself: details, memo and search attributes of a workflow.
 * Everything is cut: the server ends the run whose attributes exceed its bound
 * (`frontend.searchAttributesSizeOfValueLimit`, 2,048 bytes), as often as it is started again.
 */
import {
  CancellationScope,
  patched,
  setCurrentDetails,
  sleep,
  upsertMemo,
  upsertSearchAttributes,
} from '@temporalio/workflow';

import { LIMITS } from '../src/domain/limits.ts';
import {
  isBehind,
  isParked,
  type Replication,
  type ReplicationStatus,
  type Roster,
} from '../src/domain/replication.ts';
import {
  FailedCount,
  FailedSites,
  LaggingCount,
  LaggingSites,
  ReplicationState,
  RUNBOOK,
} from './messages.ts';
import { PATCHES } from './patches.ts';

/**
 * SQL computes the status and returns it with the roster and every row: that of the newest counts.
 */
export function statusOf(roster: Roster, rows: readonly Replication[]): ReplicationStatus {
  let newest: { rev: number; status: ReplicationStatus } = roster;
  for (const row of rows)
    if (row.rev > newest.rev) newest = { rev: row.rev, status: row.distributionStatus };
  return newest.status;
}

/** What visibility queries of operators ask for. */
interface Facts {
  readonly status: ReplicationStatus;
  readonly failed: readonly string[];
  readonly lagging: readonly string[];
}

const factsOf = (roster: Roster, rows: readonly Replication[]): Facts => {
  const sites = (which: (row: Replication) => boolean): string[] =>
    rows.filter(which).map((row) => row.site);
  return {
    status: statusOf(roster, rows),
    failed: sites((row) => row.state === 'failed'),
    lagging: sites((row) => row.served < row.target),
  };
};

/** @returns what is to be called after every change of a row */
export function createDisplay(): (roster: Roster, rows: readonly Replication[]) => void {
  const showAttributes = createAttributes();
  let archive: string | undefined;
  return (roster, rows) => {
    setCurrentDetails(detailsOf(roster, rows)); // costs no event
    showAttributes(factsOf(roster, rows));
    if (roster.archive === undefined || roster.archive.url === archive) return;
    archive = roster.archive.url;
    if (patched(PATCHES.cappedAttributes)) upsertMemo({ archive, runbook: RUNBOOK });
  };
}

/** How long a change is not shown: what becomes of a small one by then is all that is shown. */
const UPSERT_MS = 1_000;

/**
 * An upsert is an event: once a second at most, and only of what differs from what is shown. A
 * small change, after which a site is as it was before, is none.
 */
function createAttributes(): (facts: Facts) => void {
  let shown: string | null = null;
  let notBefore = 0;
  let newest: Facts;
  let waiting: CancellationScope | null = null;

  const upsert = (): void => {
    const { status, failed, lagging } = newest;
    shown = pairsOf(newest);
    notBefore = Date.now() + UPSERT_MS;
    upsertSearchAttributes([
      { key: ReplicationState, value: status },
      { key: FailedSites, value: capped(failed) },
      { key: FailedCount, value: failed.length },
      { key: LaggingSites, value: capped(lagging) },
      { key: LaggingCount, value: lagging.length },
    ]);
  };
  /** In no scope of a lane: a command that stops the lane must not stop this. */
  const wait = (waitMs: number): void => {
    if (waiting !== null) return;
    const scope = new CancellationScope();
    waiting = scope;
    const summary = 'show what changes meanwhile';
    void CancellationScope.nonCancellable(() => scope.run(() => sleep(waitMs, { summary }))).then(
      () => {
        waiting = null;
        if (pairsOf(newest) !== shown) upsert();
      },
      () => undefined, // there is nothing to show any more
    );
  };
  const isQuiet = patched(PATCHES.quietAttributes);
  return (facts) => {
    newest = facts;
    if (patched(PATCHES.cappedAttributes)) {
      if (pairsOf(facts) === shown) {
        if (!isQuiet) return;
        waiting?.cancel();
        waiting = null;
      } else if (shown === null || (!isQuiet && notBefore <= Date.now())) upsert();
      else wait(isQuiet ? UPSERT_MS : notBefore - Date.now());
      return;
    }
    const all = JSON.stringify([facts.status, facts.failed, facts.lagging]);
    if (all === shown) return;
    shown = all;
    upsertSearchAttributes([
      { key: ReplicationState, value: facts.status },
      { key: FailedSites, value: [...facts.failed] },
      { key: LaggingSites, value: [...facts.lagging] },
    ]);
  };
}

const pairsOf = ({ status, failed, lagging }: Facts): string =>
  JSON.stringify([status, capped(failed), failed.length, capped(lagging), lagging.length]);

const capped = (sites: readonly string[]): string[] => sites.slice(0, LIMITS.shownSites);

/** What is wrong comes first, then the sites, those first that are not as they should be. */
function detailsOf(roster: Roster, rows: readonly Replication[]): string {
  const sites = rows.toSorted((a, b) => urgencyOf(a) - urgencyOf(b));
  const shown = sites.slice(0, LIMITS.shownSites);
  const others = sites.slice(LIMITS.shownSites);
  return [
    headlineOf(roster, rows),
    ...wrongOf(rows),
    lookOf(roster),
    '',
    '| site | serves | wants | state | since | files | why |',
    '|-|-|-|-|-|-|-|',
    ...shown.map((row) => `| ${cellsOf(row).join(' | ')} |`),
    ...(others.length === 0 ? [] : ['', `… and ${others.length} more`]),
    '',
    `What to do: ${RUNBOOK}`,
  ].join('\n');
}

const headlineOf = (roster: Roster, rows: readonly Replication[]): string => {
  const state = roster.removed ? 'removed' : statusOf(roster, rows);
  return `**${roster.distribution}**: ${state}, newest generation ${roster.generation}`;
};

/** Most urgent first; a lane of none of these is synced. */
const URGENCIES: readonly {
  readonly words: string;
  readonly is: (row: Replication) => boolean;
}[] = [
  {
    words: 'waiting for a person',
    is: isParked,
  },
  { words: 'failed, and tried again', is: (row) => row.state === 'failed' },
  { words: 'cancelled', is: (row) => row.state === 'cancelled' },
  { words: 'paused', is: (row) => row.paused },
  { words: 'at work', is: isBehind },
];

const urgencyOf = (row: Replication): number => {
  const found = URGENCIES.findIndex(({ is }) => is(row));
  return found === -1 ? URGENCIES.length : found;
};

function wrongOf(rows: readonly Replication[]): string[] {
  const counts = URGENCIES.map(
    ({ words }, urgency) =>
      [words, rows.filter((row) => urgencyOf(row) === urgency).length] as const,
  );
  const said = counts.filter(([, count]) => count > 0).map(([words, count]) => `${count} ${words}`);
  return said.length === 0 ? [] : [`Of ${rows.length} sites: ${said.join(', ')}`];
}

function lookOf({ code, failedSince, lookedAt, nextLookAt, archive }: Roster): string {
  const outcome =
    code === null
      ? 'was fine'
      : `failed: ${code}${failedSince ? `, since ${timeOf(failedSince)}` : ''}`;
  const when = lookedAt ? ` of ${timeOf(lookedAt)}` : '';
  const of = archive === undefined ? 'the archive' : archive.url;
  return `The last look${when} at ${of} ${outcome}; the next one: ${timeOf(nextLookAt)}`;
}

const cellsOf = (row: Replication): (string | number)[] => [
  row.site,
  row.served,
  row.target,
  stateOf(row),
  row.failedSince ? timeOf(row.failedSince) : '',
  `${row.filesDone} of ${row.filesTotal}`,
  row.code ?? '',
];

const stateOf = (row: Replication): string => {
  if (row.paused) return `${row.state}, paused`;
  if (row.state !== 'failed') return row.state;
  const isFor = isParked(row) ? ', waits for a person' : '';
  const next = row.retryAt === null ? '' : `, tried again at ${timeOf(row.retryAt)}`;
  return `failed${isFor}${next}`;
};

/** `2026-11-30 20:38:05 UTC` */
const timeOf = (at: number): string =>
  `${new Date(at).toISOString().replace('T', ' ').replace(/\..*$/, '')} UTC`;
