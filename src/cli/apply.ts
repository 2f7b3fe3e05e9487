/** `debgeo apply FILE [--dry-run]`: archives, sites and distributions as the file says. Nothing is deleted by leaving it out. */
import { applyConfiguration, type Change } from '../database/apply-configuration.ts';
import { sendDistributionChanged } from '../temporal.ts';
import { readConfiguration } from './configuration.ts';
import { withDatabase, withTemporal, type Options } from './connect.ts';
import { describeError } from './print-error.ts';
import { DebgeoError } from '../domain/errors.ts';

export const apply = async (file: string, options: Options & { dryRun?: boolean }): Promise<number> => {
  const configuration = readConfiguration(file);
  const changes = await withDatabase(options, (database) => applyConfiguration(database, configuration, options.dryRun === true));
  for (const change of changes) process.stdout.write(`${change.what.padEnd(9)} ${change.kind} ${change.name}\n`);
  if (options.dryRun === true) process.stdout.write('dry run: nothing changed\n');
  else await tell(options, changes);
  return 0;
};

/** The rows are the truth and the worker's reconciliation finds them within a minute; a signal only makes it quicker. */
const tell = async (options: Options, changes: readonly Change[]): Promise<void> => {
  const names = changes.filter((change) => change.kind === 'distribution' && change.what !== 'unchanged').map((change) => change.name);
  if (names.length === 0) return;
  try {
    await withTemporal(options, (client) => Promise.all(names.map((name) => sendDistributionChanged(client, name))));
  } catch (error) {
    if (!(error instanceof DebgeoError)) throw error;
    process.stderr.write(`saved; the worker takes it up within a minute of its start\n${describeError(error.report)}\n`);
  }
};
