import { loadRoster } from '../../src/database/replications/roster.ts';
import type { Roster } from '../../src/domain/replication.ts';
import type { Deps } from '../deps.ts';

/** All that the workflow of a distribution decides on. One that is not there is `removed`. */
export const createLoadRoster =
  (deps: Deps) =>
  (input: { readonly distribution: string }): Promise<Roster> =>
    loadRoster(deps.database, input.distribution);
