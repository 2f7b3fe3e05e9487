/**
 * `debgeo apply FILE [--dry-run]`: configures archives, sites and distributions as the file says.
 * What the file leaves out stays as it is.
 */
import { applyConfiguration, type Change } from '../database/configuration/apply-configuration.ts';
import { DebgeoError } from '../domain/errors.ts';
import { readConfiguration, type Configuration } from '../settings/configuration.ts';
import { sendDistributionChanged } from '../temporal/signals.ts';
import { withDatabase, withTemporal, type Options } from './connect.ts';
import { describeError } from './print-error.ts';
import { notice, print } from './terminal.ts';

export async function apply(
  file: string,
  options: Options & { dryRun?: boolean },
): Promise<number> {
  const configuration = readConfiguration(file);
  const changes = await withDatabase(options, (database) =>
    applyConfiguration(database, configuration, options.dryRun === true),
  );
  for (const change of changes) print(`${change.what.padEnd(9)} ${change.kind} ${change.name}`);
  if (options.dryRun === true) print('dry run: nothing changed');
  else await signalChanges(options, configuration, changes);
  return 0;
}

/**
 * The rows are the truth, and the reconciliation of a worker finds them within a minute; a signal
 * only makes that quicker.
 */
async function signalChanges(
  options: Options,
  { distributions }: Configuration,
  changes: readonly Change[],
): Promise<void> {
  const isChanged = (kind: Change['kind'], name: string): boolean =>
    changes.some(
      (change) => change.kind === kind && change.name === name && change.what !== 'unchanged',
    );
  const names = Object.entries(distributions)
    .filter(
      // A changed archive may have a new key: look at it again.
      ([name, { archive }]) => isChanged('distribution', name) || isChanged('archive', archive),
    )
    .map(([name]) => name);
  if (names.length === 0) return;
  try {
    await withTemporal(options, (client) =>
      Promise.all(names.map((name) => sendDistributionChanged(client, name))),
    );
  } catch (error) {
    if (!(error instanceof DebgeoError)) throw error;
    notice(
      `saved; a worker applies it within a minute of its start\n${describeError(error.report)}`,
    );
  }
}
