import type { LaneAt } from '../../src/database/replication-row.ts';
import { applyCommand } from '../../src/database/replications/commands.ts';
import type { Command, Replication } from '../../src/domain/replication.ts';
import { activityContext } from '../context.ts';
import type { Deps } from '../deps.ts';

/**
 * Commits an operator's command to one lane. Null: the distribution is not replicated at the site
 * any more.
 */
export const createApplyOrder =
  (deps: Deps) =>
  (input: LaneAt & Command): Promise<Replication | null> => {
    const { distribution, site, ...command } = input;
    return applyCommand(deps.database, { distribution, site }, command, activityContext().attempt);
  };
