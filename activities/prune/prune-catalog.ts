import { pruneArchives } from '../../src/database/prune/prune-catalog.ts';
import { finishPrune } from '../../src/database/prune/prunes.ts';
import type { SitePrune } from '../../src/domain/replication.ts';
import { activityContext, withHeartbeat } from '../context.ts';
import type { Deps } from '../deps.ts';
import type { PruneInput } from './prune-blobs.ts';

/**
 * Deletes from the catalog what no site needs, a bounded part of it, and ends the prune of this
 * site. The prune of every site does so: one after the other, under the lock of each archive. Given
 * twice: deletes the next part.
 * @throws PRUNE_REFUSED it is not certain what is to be kept
 */
export const createPruneCatalog =
  (deps: Deps) =>
  ({ site }: PruneInput): Promise<SitePrune> =>
    withHeartbeat(
      activityContext(),
      () => ({}),
      async () => finishPrune(deps.database, site, await pruneArchives(deps.database)),
    );
