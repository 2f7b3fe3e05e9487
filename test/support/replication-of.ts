import { sql } from 'kysely';

import type { Tx } from '../../src/database/orm.ts';
import { readReplication, type LaneAt, type LaneIds } from '../../src/database/replication-row.ts';
import { all } from '../../src/database/sql.ts';
import type { Replication } from '../../src/domain/replication.ts';

/** The lane's row as its workflow sees it. */
export async function replicationOf(tx: Tx, at: LaneAt): Promise<Replication> {
  const [ids] = await all(
    tx,
    sql<LaneIds>`
      select d.id as "distributionId", s.id as "siteId"
      from debian_distributions d, replication_sites s
      where d.name = ${at.distribution}
        and s.name = ${at.site}`,
  );
  return readReplication(tx, ids!);
}
