import type { LaneAt } from '../../src/database/replication-row.ts';
import { applyCommand } from '../../src/database/replications/commands.ts';
import type { Command, Replication } from '../../src/domain/replication.ts';
import { activityContext } from '../context.ts';
import type { Deps } from '../deps.ts';

/**
 * Commits what an operator wishes for one lane. Null: the distribution is not replicated there any
 * more.
 */
export const createApplyOrder =
  (deps: Deps) =>
  (input: LaneAt & Command): Promise<Replication | null> => {
    const { distribution, site, ...command } = input;
    return applyCommand(deps.database, { distribution, site }, command, activityContext().attempt);
  };
