import { readSite } from '../../src/database/configuration/sites.ts';
import { markUnneeded } from '../../src/database/prune/mark-unneeded.ts';
import { loadPrune, recordMarked, startPrune } from '../../src/database/prune/prunes.ts';
import { wakeOfSite } from '../../src/database/replications/parked.ts';
import type { SitePrune } from '../../src/domain/replication.ts';
import { confirmKnown } from '../confirm-site.ts';
import { activityContext, withHeartbeat } from '../context.ts';
import type { Deps } from '../deps.ts';
import type { PruneInput } from './prune-blobs.ts';

/**
 * Marks what the site may lose, as far as the share of one run reaches, once the site is as the
 * database believes. Given twice: marks no more than once.
 * @throws PRUNE_REFUSED it is not certain what is to be kept
 * @throws SITE_TAKEN, SITE_AHEAD, SITE_BEHIND, ANCHOR_UNREADABLE nothing was marked
 */
export const createPlanPrune =
  (deps: Deps) =>
  async ({ site }: PruneInput): Promise<SitePrune> => {
    const context = activityContext();
    const plan = async (): Promise<SitePrune> => {
      const row = await loadPrune(deps.database, site);
      if (!row.enabled || row.paused === true) return row;
      const { id } = await readSite(deps.database.read, site);
      await startPrune(deps.database, id);
      const { store } = await deps.siteOf(site);
      await confirmKnown({ database: deps.database, store, siteId: id, signal: context.signal });
      await wakeOfSite(deps.database.read, id);
      const { more } = await markUnneeded(deps.database, id);
      return recordMarked(deps.database, site, more);
    };
    return withHeartbeat(context, () => ({}), plan);
  };
