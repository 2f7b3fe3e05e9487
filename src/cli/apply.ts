/**
 * `debgeo apply FILE [--dry-run]`: archives, sites and distributions as the file says. Nothing is
 * deleted by leaving it out.
 */
import { applyConfiguration, type Change } from '../database/configuration/apply-configuration.ts';
import { DebgeoError } from '../domain/errors.ts';
import { readConfiguration, type Configuration } from '../settings/configuration.ts';
import { sendDistributionChanged } from '../temporal/signals.ts';
import { withDatabase, withTemporal, type Options } from './connect.ts';
import { describeError } from './print-error.ts';

export const apply = async (
  file: string,
  options: Options & { dryRun?: boolean },
): Promise<number> => {
  const configuration = readConfiguration(file);
  const changes = await withDatabase(options, (database) =>
    applyConfiguration(database, configuration, options.dryRun === true),
  );
  for (const change of changes)
    process.stdout.write(`${change.what.padEnd(9)} ${change.kind} ${change.name}\n`);
  if (options.dryRun === true) process.stdout.write('dry run: nothing changed\n');
  else await tell(options, configuration, changes);
  return 0;
};

/**
 * The rows are the truth and the worker's reconciliation finds them within a minute; a signal only
 * makes it quicker.
 */
const tell = async (
  options: Options,
  { distributions }: Configuration,
  changes: readonly Change[],
): Promise<void> => {
  const isChanged = (kind: Change['kind'], name: string): boolean =>
    changes.some(
      (change) => change.kind === kind && change.name === name && change.what !== 'unchanged',
    );
  const names = Object.entries(distributions)
    .filter(
      ([name, { archive }]) => isChanged('distribution', name) || isChanged('archive', archive),
    ) // a new key: look again
    .map(([name]) => name);
  if (names.length === 0) return;
  try {
    await withTemporal(options, (client) =>
      Promise.all(names.map((name) => sendDistributionChanged(client, name))),
    );
  } catch (error) {
    if (!(error instanceof DebgeoError)) throw error;
    process.stderr.write(
      `saved; the worker takes it up within a minute of its start\n${describeError(error.report)}\n`,
    );
  }
};
