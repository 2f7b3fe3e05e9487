/** The work of a worker process: task queues to poll, workflows to keep running. */
import { sql } from 'kysely';

import type { Database } from '../orm.ts';
import { QUEUE } from '../replication-row.ts';
import { all } from '../sql.ts';

/** Enabled sites and the task queue of each. */
export const listSiteQueues = (database: Database): Promise<{ site: string; queue: string }[]> =>
  all(
    database.read,
    sql<{ site: string; queue: string }>`
      select s.name as site, ${QUEUE} as queue
      from replication_sites s
      where s.enabled
      order by s.name`,
  );

/** Distributions whose workflow should run. */
export async function listDistributions(database: Database): Promise<string[]> {
  const rows = await all(
    database.read,
    sql<{ name: string }>`
      select name
      from debian_distributions
      where not removed
      order by name`,
  );
  return rows.map((row) => row.name);
}

/** Enabled sites: each has a workflow that prunes it. */
export const listSites = async (database: Database): Promise<string[]> =>
  (await listSiteQueues(database)).map(({ site }) => site);
