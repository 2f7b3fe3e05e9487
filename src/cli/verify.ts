/**
 * `debgeo verify DIST [--site S]`: read every blob back, judge, repair. With --wait until that is
 * done.
 */
import { readDatabaseClock } from '../database/server/clock.ts';
import type { LaneProgress } from '../database/views/progress.ts';
import { readStatus } from '../database/views/status.ts';
import { sendVerify } from '../temporal/signals.ts';
import { withDatabase, withTemporal, type Options } from './connect.ts';
import { exitCodeOf } from './outcome.ts';
import { watch } from './progress.ts';
import { requireNames } from './require-names.ts';

export const verify = async (
  name: string,
  options: Options & { site?: string; wait?: boolean; json?: boolean },
): Promise<number> =>
  withDatabase(options, async (database) => {
    await requireNames(database, name, options.site);
    const askedAt = await readDatabaseClock(database);
    await withTemporal(options, (client) => sendVerify(client, name, options.site));
    process.stderr.write(
      `${name}: asked ${options.site ?? 'every site'} to read back, judge and repair\n`,
    );
    const done = (site: LaneProgress): boolean =>
      (site.verifyAnsweredAt ?? 0) >= askedAt && site.state === 'synced';
    const exit =
      options.wait === true
        ? exitCodeOf(await watch(database, { distribution: name, site: options.site, done }), done)
        : 0;
    if (options.json === true)
      process.stdout.write(`${JSON.stringify((await readStatus(database, name))[0], null, 2)}\n`);
    return exit;
  });
