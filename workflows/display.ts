import { setCurrentDetails, upsertSearchAttributes } from '@temporalio/workflow';

import type { Replication, ReplicationStatus, Roster } from '../src/domain/replication.ts';
import { FailedSites, LaggingSites, ReplicationState } from './messages.ts';

/** Computed once, in SQL, and returned with every row: the newest of them counts. */
export function statusOf(roster: Roster, rows: readonly Replication[]): ReplicationStatus {
  let newest: { rev: number; status: ReplicationStatus } = roster;
  for (const row of rows)
    if (row.rev > newest.rev) newest = { rev: row.rev, status: row.distributionStatus };
  return newest.status;
}

/**
 * Makes the Temporal UI readable by itself. The function that it gives is called after every change
 * of a row.
 */
export function createDisplay(): (roster: Roster, rows: readonly Replication[]) => void {
  let shown = '';
  return (roster, rows) => {
    const status = statusOf(roster, rows);
    setCurrentDetails(detailsOf(roster, rows, status)); // costs no event
    const sites = (which: (row: Replication) => boolean): string[] =>
      rows.filter(which).map((row) => row.site);
    const failed = sites((row) => row.state === 'failed');
    const lagging = sites((row) => row.served < row.target);
    const facts = JSON.stringify([status, failed, lagging]);
    if (facts === shown) return; // an upsert is an event: on change only
    shown = facts;
    upsertSearchAttributes([
      { key: ReplicationState, value: status },
      { key: FailedSites, value: failed },
      { key: LaggingSites, value: lagging },
    ]);
  };
}

function detailsOf(
  roster: Roster,
  rows: readonly Replication[],
  status: ReplicationStatus,
): string {
  const capture =
    roster.code === null
      ? 'the last look at the archive was fine'
      : `the last look at the archive failed: ${roster.code}`;
  return [
    `**${roster.distribution}**: ${roster.removed ? 'removed' : status}, newest generation ${roster.generation}, ${capture}`,
    '',
    '| site | serves | wants | state | files | why |',
    '|-|-|-|-|-|-|',
    ...rows.map(
      (row) =>
        `| ${[row.site, row.served, row.target, stateOf(row), `${row.filesDone} of ${row.filesTotal}`, row.code ?? ''].join(' | ')} |`,
    ),
  ].join('\n');
}

const stateOf = (row: Replication): string => {
  if (row.paused) return `${row.state}, paused`;
  return row.state === 'failed' && row.retryAt === null ? 'failed, waits for a person' : row.state;
};
