/**
 * `debgeo apply FILE [--dry-run]`: configures archives, sites and distributions as the file says.
 * What the file leaves out stays as it is.
 */
import { applyConfiguration } from '../database/configuration/apply-configuration.ts';
import type { Database } from '../database/orm.ts';
import { readScrubCosts } from '../database/views/scrubs.ts';
import { listWantedDistributions } from '../database/views/work.ts';
import { DebgeoError } from '../domain/errors.ts';
import { readConfiguration } from '../settings/configuration.ts';
import { sendDistributionChanged } from '../temporal/signals.ts';
import { withDatabase, withTemporal, type Options } from './connect.ts';
import { describeError } from './print-error.ts';
import { describeCost } from './scrub.ts';
import { notice, print } from './terminal.ts';

export async function apply(
  file: string,
  options: Options & { dryRun?: boolean },
): Promise<number> {
  const configuration = readConfiguration(file);
  const isDry = options.dryRun === true;
  const unseen = await withDatabase(options, async (database) => {
    for (const change of await applyConfiguration(database, configuration, isDry))
      print(`${change.what.padEnd(9)} ${change.kind} ${change.name}`);
    if (!isDry) await printCosts(database, Object.keys(configuration.sites));
    return (await listWantedDistributions(database)).filter(({ isUnseen }) => isUnseen);
  });
  if (isDry) print('dry run: nothing changed');
  else await signalChanges(options, unseen);
  return 0;
}

/** What reading the sites of the file back costs, as far as they are filled. */
async function printCosts(database: Database, sites: readonly string[]): Promise<void> {
  for (const cost of await readScrubCosts(database))
    if (sites.includes(cost.site)) print(`${'scrub'.padEnd(9)} ${cost.site} ${describeCost(cost)}`);
}

/**
 * The rows are the truth, and the reconciliation of a worker sends these signals within a minute;
 * sent from here, they only make that quicker.
 */
async function signalChanges(
  options: Options,
  unseen: readonly { readonly name: string }[],
): Promise<void> {
  if (unseen.length === 0) return;
  try {
    await withTemporal(options, (client) =>
      Promise.all(unseen.map(({ name }) => sendDistributionChanged(client, name))),
    );
  } catch (error) {
    if (!(error instanceof DebgeoError)) throw error;
    notice(
      `saved; a worker applies it within a minute of its start\n${describeError(error.report)}`,
    );
  }
}
