import { listSitesOf } from '../database/configuration/sites.ts';
import type { Database } from '../database/orm.ts';
import { DebgeoError } from '../domain/errors.ts';

/**
 * A signal for a site that does not exist would be silence, so names are judged before it is sent.
 * @throws NAME_UNKNOWN
 */
export async function requireNames(
  database: Database,
  distribution: string,
  site: string | undefined,
): Promise<void> {
  const sites = await listSitesOf(database, distribution);
  if (sites === null)
    throw new DebgeoError('NAME_UNKNOWN', `there is no distribution ${distribution}`);
  if (site !== undefined && !sites.includes(site))
    throw new DebgeoError('NAME_UNKNOWN', `${distribution} is not replicated to ${site}`, {
      expected: `one of ${sites.join(', ')}`,
      found: site,
    });
}
