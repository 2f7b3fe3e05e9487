/** The work of a worker process: task queues to poll, workflows to keep running. */
import { sql } from 'kysely';

import type { Database } from '../orm.ts';
import { ARCHIVE_QUEUE, QUEUE } from '../replication-row.ts';
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

/**
 * Archives, with the task queue of their captures. All of them: the last look of a distribution
 * that is being removed has to run, too.
 */
export const listArchiveQueues = (
  database: Database,
): Promise<{ archive: string; queue: string }[]> =>
  all(
    database.read,
    sql<{ archive: string; queue: string }>`
      select a.name as archive, ${ARCHIVE_QUEUE} as queue
      from archives a
      order by a.name`,
  );

/** Archives behind http that may have a loopback or private address. */
export async function listPrivateArchives(database: Database): Promise<string[]> {
  const rows = await all(
    database.read,
    sql<{ name: string }>`
      select name
      from archives
      where private_network
        and url not like 'file:%'
      order by name`,
  );
  return rows.map((row) => row.name);
}

/** Distributions that are not removed. */
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

/** Of a distribution that is looked at less often than this, workflow and rows may differ long. */
const RESTS_MS = 10 * 60_000;

/**
 * Distributions whose workflow should run, and whether it has yet to see what an apply changed:
 * then also one that was removed.
 */
export const listWantedDistributions = (
  database: Database,
): Promise<{ name: string; isUnseen: boolean; rests: boolean }[]> =>
  all(
    database.read,
    sql<{ name: string; isUnseen: boolean; rests: boolean }>`
      select name,
        changed_rev > seen_rev as "isUnseen",
        poll_interval_ms > ${RESTS_MS} as rests
      from debian_distributions
      where not removed
        or changed_rev > seen_rev
      order by name`,
  );

/** Enabled sites: each has a workflow that prunes and scrubs it. */
export const listSites = async (database: Database): Promise<string[]> =>
  (await listSiteQueues(database)).map(({ site }) => site);
