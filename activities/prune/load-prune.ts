import { loadPrune } from '../../src/database/prune/prunes.ts';
import type { SitePrune } from '../../src/domain/replication.ts';
import type { Deps } from '../deps.ts';
import type { PruneInput } from './prune-blobs.ts';

/** All that the workflow of a site decides on. A site that is not there is not enabled. */
export const createLoadPrune =
  (deps: Deps) =>
  ({ site }: PruneInput): Promise<SitePrune> =>
    loadPrune(deps.database, site);
