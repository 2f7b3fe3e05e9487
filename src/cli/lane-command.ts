/**
 * `debgeo retry|cancel|pause|resume DIST [--site S]`: a command to the lanes of a distribution; to
 * all of them unless one site is named.
 */
import { sendCommand, type CommandName } from '../temporal/signals.ts';
import { withDatabase, withTemporal, type Options } from './connect.ts';
import { requireNames } from './require-names.ts';
import { notice } from './terminal.ts';

export async function laneCommand(
  what: CommandName,
  name: string,
  options: Options & { site?: string },
): Promise<number> {
  await withDatabase(options, (database) => requireNames(database, name, options.site));
  await withTemporal(options, (client) => sendCommand(client, what, name, options.site));
  notice(`${name}: ${what} sent to ${options.site ?? 'every site'}`);
  return 0;
}
