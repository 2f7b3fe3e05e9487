/**
 * `debgeo update DIST [--wait] [--accept-older REASON]`: look at the archive now. Ends with what
 * the look found; with --wait when every site serves it, or has failed, is cancelled or paused.
 */
import { hostname, userInfo } from 'node:os';

import { acceptOlder } from '../database/replications/older-acceptances.ts';
import type { LaneProgress } from '../database/views/progress.ts';
import { readStatus, type SiteStatus } from '../database/views/status.ts';
import { DebgeoError, type ErrorReport } from '../domain/errors.ts';
import { look } from '../temporal/updates.ts';
import { withDatabase, withTemporal, type Options } from './connect.ts';
import { exitCodeOf } from './outcome.ts';
import { watch } from './progress.ts';
import { requireNames } from './require-names.ts';

export const update = async (
  name: string,
  options: Options & { wait?: boolean; json?: boolean; acceptOlder?: string },
): Promise<number> =>
  withDatabase(options, async (database) => {
    const reason = options.acceptOlder?.trim();
    if (reason === '')
      throw new DebgeoError('CONFIG_INVALID', '--accept-older needs a reason', {
        expected: 'a reason',
        found: 'nothing',
      });
    await requireNames(database, name, undefined);
    if (reason !== undefined) {
      await acceptOlder(database, name, { reason, by: `${userNameOf()}@${hostname()}` });
      process.stderr.write(`${name}: the next look may take an older release, once; on record\n`);
    }
    const outcome = await withTemporal(options, (client) => look(client, name));
    if (outcome.outcome === 'removed')
      throw new DebgeoError('NAME_UNKNOWN', `distribution ${name} was removed`);
    if (outcome.outcome === 'failed')
      throw refused(outcome.report, (await readStatus(database, name))[0]?.sites ?? []);
    const generation = outcome.generation ?? 0;
    process.stderr.write(
      `${name}: generation ${generation} ${outcome.outcome === 'captured' ? 'captured' : 'is still the newest'}\n`,
    );
    const done = (site: LaneProgress): boolean =>
      site.served >= generation && site.state === 'synced';
    const exit =
      options.wait === true
        ? exitCodeOf(await watch(database, { distribution: name, done }), done)
        : 0;
    if (options.json === true)
      process.stdout.write(`${JSON.stringify((await readStatus(database, name))[0], null, 2)}\n`);
    return exit;
  });

/** In a container the user may have a number only. */
const userNameOf = (): string => {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.()}`;
  }
};

/** The report of a refused look, with what the sites go on serving. */
const refused = (report: ErrorReport | undefined, sites: readonly SiteStatus[]): DebgeoError => {
  const { code, message, ...facts } = report ?? {
    code: 'UNKNOWN' as const,
    message: 'the look at the archive failed',
  };
  return new DebgeoError(code, message, { ...facts, state: facts.state ?? stillServing(sites) });
};

const stillServing = (sites: readonly SiteStatus[]): string => {
  const served = sites.map(
    (site) => `${site.site} ${site.served === 0 ? 'nothing' : `generation ${site.served}`}`,
  );
  return `nothing changed; the sites still serve: ${served.join(', ') || 'none'}`;
};
