/**
 * `debgeo update DIST [--wait] [--accept-older REASON]`: looks at the archive now and says what the
 * look found. With --wait it ends when every site serves that, or failed, is cancelled or paused.
 */

import type { Database } from '../database/orm.ts';
import { acceptOlder } from '../database/replications/older-acceptances.ts';
import type { LaneProgress } from '../database/views/progress.ts';
import { readStatus, type SiteStatus } from '../database/views/status.ts';
import { DebgeoError, type ErrorReport } from '../domain/errors.ts';
import { look } from '../temporal/updates.ts';
import { withDatabase, withTemporal, type Options } from './connect.ts';
import { operatorName } from './operator-name.ts';
import { exitCodeOf } from './outcome.ts';
import { watch } from './progress.ts';
import { requireNames } from './require-names.ts';
import { notice, printAsJson } from './terminal.ts';

interface UpdateOptions extends Options {
  readonly wait?: boolean;
  readonly json?: boolean;
  readonly acceptOlder?: string;
}

export function update(name: string, options: UpdateOptions): Promise<number> {
  return withDatabase(options, async (database) => {
    const reason = reasonOf(options);
    await requireNames(database, name, undefined);
    if (reason !== undefined) await allowOlder(database, name, reason);
    const outcome = await withTemporal(options, (client) => look(client, name));
    if (outcome.outcome === 'removed')
      throw new DebgeoError('NAME_UNKNOWN', `distribution ${name} was removed`);
    if (outcome.outcome === 'failed')
      throw refused(outcome.report, (await readStatus(database, name))[0]?.sites ?? []);
    const generation = outcome.generation ?? 0;
    const news = outcome.outcome === 'captured' ? 'captured' : 'is still the newest';
    notice(`${name}: generation ${generation} ${news}`);
    const done = (site: LaneProgress): boolean =>
      site.served >= generation && site.state === 'synced';
    const exit =
      options.wait === true
        ? exitCodeOf(await watch(database, { distribution: name, done }), done)
        : 0;
    if (options.json === true) printAsJson((await readStatus(database, name))[0]);
    return exit;
  });
}

/** @throws CONFIG_INVALID */
function reasonOf({ acceptOlder: text }: UpdateOptions): string | undefined {
  const reason = text?.trim();
  if (reason === '')
    throw new DebgeoError('CONFIG_INVALID', '--accept-older needs a reason', {
      expected: 'a reason',
      found: 'nothing',
    });
  return reason;
}

async function allowOlder(database: Database, name: string, reason: string): Promise<void> {
  await acceptOlder(database, name, { reason, by: operatorName() });
  notice(`${name}: the next look may accept an older release, once; recorded`);
}

/** The report of a failed look, with what the sites still serve. */
function refused(report: ErrorReport | undefined, sites: readonly SiteStatus[]): DebgeoError {
  const said: ErrorReport = report ?? {
    code: 'UNKNOWN',
    message: 'the look at the archive failed',
  };
  return DebgeoError.of({ ...said, state: said.state ?? stillServing(sites) });
}

function stillServing(sites: readonly SiteStatus[]): string {
  const served = sites.map(
    (site) => `${site.site} ${site.served === 0 ? 'nothing' : `generation ${site.served}`}`,
  );
  return `nothing changed; the sites still serve: ${served.join(', ') || 'none'}`;
}
