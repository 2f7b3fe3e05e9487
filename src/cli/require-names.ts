import { listSitesOf } from '../database/configuration/sites.ts';
import type { Database } from '../database/orm.ts';
import { DebgeoError } from '../domain/errors.ts';

/**
 * Refuses a name that nothing has before anything is sent: a signal for a site that does not exist
 * would be silence.
 */
export const requireNames = async (
  database: Database,
  distribution: string,
  site: string | undefined,
): Promise<void> => {
  const sites = await listSitesOf(database, distribution);
  if (sites === null)
    throw new DebgeoError('NAME_UNKNOWN', `there is no distribution ${distribution}`);
  if (site !== undefined && !sites.includes(site))
    throw new DebgeoError('NAME_UNKNOWN', `${distribution} is not replicated to ${site}`, {
      expected: `one of ${sites.join(', ')}`,
      found: site,
    });
};
