import { applyOrder, type LaneAt } from '../../src/database/replications/replications.ts';
import type { Order, Replication } from '../../src/domain/replication.ts';
import { activityContext } from '../context.ts';
import type { Deps } from '../deps.ts';

/**
 * Commits what an operator wishes for one lane. Null: the distribution is not replicated there any
 * more.
 */
export const createApplyOrder =
  (deps: Deps) =>
  (input: LaneAt & Order): Promise<Replication | null> => {
    const { distribution, site, ...order } = input;
    return applyOrder(deps.database, { distribution, site }, order, activityContext().attempt);
  };
