import { setCurrentDetails, upsertSearchAttributes } from '@temporalio/workflow';

import type { Replication, ReplicationStatus, Roster } from '../src/domain/replication.ts';
import { FailedSites, LaggingSites, ReplicationState } from './messages.ts';

/**
 * SQL computes the status and returns it with the roster and every row: that of the newest counts.
 */
export function statusOf(roster: Roster, rows: readonly Replication[]): ReplicationStatus {
  let newest: { rev: number; status: ReplicationStatus } = roster;
  for (const row of rows)
    if (row.rev > newest.rev) newest = { rev: row.rev, status: row.distributionStatus };
  return newest.status;
}

/**
 * Makes the Temporal UI readable by itself: details and search attributes of the workflow.
 * @returns what is to be called after every change of a row
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
  const { distribution, removed, generation, code } = roster;
  const state = removed ? 'removed' : status;
  const look = `the last look at the archive ${code === null ? 'was fine' : `failed: ${code}`}`;
  return [
    `**${distribution}**: ${state}, newest generation ${generation}, ${look}`,
    '',
    '| site | serves | wants | state | files | why |',
    '|-|-|-|-|-|-|',
    ...rows.map((row) => `| ${cellsOf(row).join(' | ')} |`),
  ].join('\n');
}

const cellsOf = (row: Replication): (string | number)[] => [
  row.site,
  row.served,
  row.target,
  stateOf(row),
  `${row.filesDone} of ${row.filesTotal}`,
  row.code ?? '',
];

const stateOf = (row: Replication): string => {
  if (row.paused) return `${row.state}, paused`;
  return row.state === 'failed' && row.retryAt === null ? 'failed, waits for a person' : row.state;
};
