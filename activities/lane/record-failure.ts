import type { LaneAt } from '../../src/database/replication-row.ts';
import { recordFailure } from '../../src/database/replications/failures.ts';
import type { ErrorReport } from '../../src/domain/errors.ts';
import type { Replication, Ticketed } from '../../src/domain/replication.ts';
import type { Deps } from '../deps.ts';

/**
 * Commits that a step of a lane failed, and with it when the lane tries again. Null: the
 * distribution is not replicated at the site any more.
 */
export const createRecordFailure =
  (deps: Deps) =>
  (input: LaneAt & Ticketed & { readonly report: ErrorReport }): Promise<Replication | null> => {
    const { distribution, site, report, ticket = null } = input;
    deps.log.warn(input, 'replication failed');
    return recordFailure(deps.database, { distribution, site }, report, ticket);
  };
