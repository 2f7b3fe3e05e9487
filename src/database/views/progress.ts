/** The progress of lanes, for commands that wait and ask again and again: rows, no counting. */
import { sql } from 'kysely';

import type { ErrorReport } from '../../domain/errors.ts';
import type { ReplicationState } from '../../domain/replication.ts';
import { type Database } from '../orm.ts';
import { BYTES_DONE, FILES_DONE } from '../replication-row.ts';
import { ms, all } from '../sql.ts';

export interface LaneProgress {
  readonly site: string;
  readonly served: number;
  /** The generation that the lane works on, else the next one. */
  readonly generation: number;
  readonly state: ReplicationState;
  readonly paused: boolean;
  readonly filesDone: number;
  readonly filesTotal: number;
  readonly bytesDone: number;
  readonly bytesTotal: number;
  readonly retryAt: number | null;
  readonly retryCount: number;
  readonly failure: ErrorReport | null;
  readonly verifyAnsweredAt: number | null;
}

/** The lanes of a distribution, by site; none if there is no such distribution. */
export const readProgress = (database: Database, distribution: string): Promise<LaneProgress[]> =>
  all(
    database.read,
    sql<LaneProgress>`
      select s.name as site,
        r.served_generation as served,
        coalesce(r.pinned_generation, r.desired_generation) as generation,
        r.state,
        r.paused,
        ${FILES_DONE} as "filesDone",
        r.files_total as "filesTotal",
        ${BYTES_DONE} as "bytesDone",
        r.bytes_total as "bytesTotal",
        ${ms('r.retry_at')} as "retryAt",
        r.retry_count as "retryCount",
        r.failure,
        ${ms('r.verify_answered_at')} as "verifyAnsweredAt"
      from distribution_replications r
      join replication_sites s on s.id = r.site_id
      join debian_distributions d on d.id = r.distribution_id
      where d.name = ${distribution}
        and not d.removed
        and s.enabled
      order by s.name`,
  );
