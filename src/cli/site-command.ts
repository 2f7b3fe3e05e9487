/**
 * `debgeo pause|resume --site S`, without a distribution: the site is neither scrubbed nor pruned
 * until it is resumed. Its lanes go on.
 */
import { pauseSite } from '../database/scrub/commands.ts';
import { sendSiteChanged } from '../temporal/signals.ts';
import { withDatabase, withTemporal, type Options } from './connect.ts';
import { requireSite } from './scrub.ts';
import { notice } from './terminal.ts';

export async function siteCommand(
  what: 'pause' | 'resume',
  site: string,
  options: Options,
): Promise<number> {
  await withDatabase(options, async (database) => {
    await requireSite(database, site);
    await pauseSite(database, site, what === 'pause');
  });
  await withTemporal(options, (client) => sendSiteChanged(client, site));
  notice(
    what === 'pause'
      ? `${site}: neither scrubbed nor pruned until debgeo resume --site ${site}`
      : `${site}: scrubbed and pruned again`,
  );
  return 0;
}
