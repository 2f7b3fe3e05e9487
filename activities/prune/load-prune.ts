import { loadPrune } from '../../src/database/prune/prunes.ts';
import type { SitePrune } from '../../src/domain/replication.ts';
import type { Deps } from '../deps.ts';
import type { SiteInput } from './prune-blobs.ts';

/** All that the workflow of a site decides on. Not there: not enabled. */
export const createLoadPrune =
  (deps: Deps) =>
  ({ site }: SiteInput): Promise<SitePrune> =>
    loadPrune(deps.database, site);
