import type { LaneAt } from '../../src/database/replication-row.ts';
import { applyCommand } from '../../src/database/replications/commands.ts';
import type { Command, Replication, Ticketed } from '../../src/domain/replication.ts';
import type { Deps } from '../deps.ts';

/**
 * Commits an operator's command to one lane. Null: the distribution is not replicated at the site
 * any more.
 */
export const createApplyOrder =
  (deps: Deps) =>
  (input: LaneAt & Command & Ticketed): Promise<Replication | null> => {
    const { distribution, site, ticket = null, ...command } = input;
    return applyCommand(deps.database, { distribution, site }, command, ticket);
  };
