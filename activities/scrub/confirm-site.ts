import { readSite } from '../../src/database/configuration/sites.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import { confirmSite } from '../confirm-site.ts';
import { activityContext, withHeartbeat } from '../context.ts';
import type { Deps } from '../deps.ts';

/**
 * Asks whether the site is as the database believes; what is not so is booked for its lanes. Given
 * twice: asks again.
 * @throws SITE_TAKEN, ANCHOR_UNREADABLE, SITE_*
 */
export const createConfirmSite =
  (deps: Deps) =>
  async ({ site }: { readonly site: string }): Promise<void> => {
    const context = activityContext();
    const ask = async (): Promise<void> => {
      const { id, enabled } = await readSite(deps.database.read, site);
      if (!enabled) return;
      const { store } = await deps.siteOf(site);
      const { database } = deps;
      try {
        await confirmSite({ database, store, siteId: id, signal: context.signal });
      } catch (error) {
        const isBooked =
          error instanceof DebgeoError && ['SITE_AHEAD', 'SITE_BEHIND'].includes(error.code);
        if (!isBooked) throw error;
      }
    };
    return withHeartbeat(context, () => ({}), ask);
  };
