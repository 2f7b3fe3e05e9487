import { noticeRestore } from '../../src/database/anchors/restored.ts';
import { loadRoster } from '../../src/database/replications/roster.ts';
import type { Roster } from '../../src/domain/replication.ts';
import type { Deps } from '../deps.ts';

export interface RosterInput {
  readonly distribution: string;
  /** The highest `rev` of the rows that the workflow holds; absent: it holds none. */
  readonly seenRev?: number;
}

/**
 * All that the workflow of a distribution decides on. One that is not there is `removed`. Rows that
 * are older than those of the workflow are of a database that was restored.
 */
export const createLoadRoster =
  (deps: Deps) =>
  async ({ distribution, seenRev }: RosterInput): Promise<Roster> => {
    await noticeRestore(deps.database, distribution, seenRev);
    return loadRoster(deps.database, distribution);
  };
