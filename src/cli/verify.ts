/**
 * `debgeo verify DIST [--site S]`: has every blob read back, judged, and repaired if it is wrong.
 * With --wait it ends when that is done.
 */
import { readDatabaseClock } from '../database/server/clock.ts';
import type { LaneProgress } from '../database/views/progress.ts';
import { readStatus } from '../database/views/status.ts';
import { sendVerify } from '../temporal/signals.ts';
import { withDatabase, withTemporal, type Options } from './connect.ts';
import { exitCodeOf } from './outcome.ts';
import { watch } from './progress.ts';
import { requireNames } from './require-names.ts';
import { notice, printAsJson } from './terminal.ts';

interface VerifyOptions extends Options {
  readonly site?: string;
  readonly wait?: boolean;
  readonly json?: boolean;
}

export function verify(name: string, options: VerifyOptions): Promise<number> {
  return withDatabase(options, async (database) => {
    await requireNames(database, name, options.site);
    const askedAt = await readDatabaseClock(database);
    await withTemporal(options, (client) => sendVerify(client, name, options.site));
    notice(`${name}: asked ${options.site ?? 'every site'} to read back, judge and repair`);
    const done = (site: LaneProgress): boolean =>
      (site.verifyAnsweredAt ?? 0) >= askedAt && site.state === 'synced';
    const exit =
      options.wait === true
        ? exitCodeOf(await watch(database, { distribution: name, site: options.site, done }), done)
        : 0;
    if (options.json === true) printAsJson((await readStatus(database, name))[0]);
    return exit;
  });
}
