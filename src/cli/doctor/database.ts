import { connectDatabase } from '../../database/orm.ts';
import { judgeSettings, patienceOf, readSettings } from '../../database/server/settings.ts';
import type { Config } from '../../settings/servers.ts';
import type { Findings } from './findings.ts';

/**
 * Uses a connection of its own, so that a server that is too old is told before its tables are
 * asked for. False: the server does not answer.
 */
export async function examineSettings(
  findings: Findings,
  config: Config,
  workers: number,
): Promise<boolean> {
  const WHAT = 'settings of the database';
  const settings = await findings.check(
    'database',
    async () => {
      const database = await connectDatabase(config.databaseUrl, { poolMax: 1 });
      try {
        return await readSettings(database);
      } finally {
        await database.close();
      }
    },
    ({ server_version }) => `answers, PostgreSQL ${server_version}`,
  );
  if (settings === undefined) return false;
  const wrong = judgeSettings(settings, workers);
  for (const report of wrong) findings.wrong(WHAT, report);
  if (wrong.length === 0)
    findings.ok(WHAT, 'a crash loses nothing, and there are enough connections');
  findings.ok('patience of the database', patienceOf(settings));
  return true;
}
