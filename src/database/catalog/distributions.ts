/** Distributions as configured, and what the looks at their archives found. */
import { sql } from 'kysely';

import type { ArchiveLogin } from '../../domain/archive-login.ts';
import type { Selection, Validator } from '../../domain/snapshot.ts';
import { type Tx } from '../orm.ts';
import { one } from '../sql.ts';

export interface DistributionRecord {
  readonly id: number;
  readonly name: string;
  readonly suite: string;
  readonly archive: {
    readonly id: number;
    readonly name: string;
    readonly url: string;
    readonly mount: string;
    readonly keyring: Uint8Array | null;
    readonly redirectOrigins: readonly string[];
    readonly login: ArchiveLogin | null;
    /** Certificates beside those of the system, PEM. */
    readonly ca: Uint8Array | null;
    readonly privateNetwork: boolean;
    readonly insecure: boolean;
  };
  readonly selection: Selection;
  readonly primarySite: string | null;
  /** Enabled sites that replicate it. */
  readonly siteCount: number;
  readonly acceptUndated: boolean;
  readonly pollIntervalMs: number;
  readonly latestGeneration: number;
  /** Of the last look that went well, null before the first. */
  readonly validator: Validator | null;
  /** Looks that went well since the archive was last asked unconditionally. */
  readonly looks: number;
}

/** One row has the columns of both tables side by side. */
type Columns = Omit<DistributionRecord, 'archive' | 'selection' | 'validator'> &
  Omit<DistributionRecord['archive'], 'id' | 'name'> &
  Selection &
  Validator & {
    readonly archiveId: number;
    readonly archiveName: string;
  };

/**
 * Null if there is no such distribution, or it was removed.
 * @param removed also one that was removed: what was copied of it stays at the sites
 */
export async function readDistribution(
  tx: Tx,
  name: string,
  { removed = false } = {},
): Promise<DistributionRecord | null> {
  const row = await one(
    tx,
    sql<Columns>`
      select d.id, d.name, d.suite, d.components, d.architectures,
        s.name as "primarySite",
        d.accept_undated as "acceptUndated",
        d.poll_interval_ms as "pollIntervalMs",
        d.latest_generation as "latestGeneration",
        d.in_release_etag as etag,
        d.in_release_last_modified as "lastModified",
        d.looks,
        a.id as "archiveId",
        a.name as "archiveName",
        a.url, a.mount, a.keyring,
        a.redirect_origins as "redirectOrigins",
        a.login, a.ca,
        a.private_network as "privateNetwork",
        a.insecure,
        (
          select count(*)
          from distribution_replications r
          join replication_sites o on o.id = r.site_id
          where r.distribution_id = d.id
            and o.enabled
        )::int as "siteCount"
      from debian_distributions d
      join archives a on a.id = d.archive_id
      left join replication_sites s on s.id = d.replication_site_id
      where d.name = ${name}
        and (not d.removed or ${removed})`,
  );
  if (row === null) return null;
  const {
    components,
    architectures,
    etag,
    lastModified,
    archiveId,
    archiveName,
    url,
    mount,
    keyring,
    redirectOrigins,
    login,
    ca,
    privateNetwork,
    insecure,
    ...distribution
  } = row;
  return {
    ...distribution,
    archive: {
      id: archiveId,
      name: archiveName,
      url,
      mount,
      keyring,
      redirectOrigins,
      login,
      ca,
      privateNetwork,
      insecure,
    },
    selection: { components, architectures },
    validator: etag === null && lastModified === null ? null : { etag, lastModified },
  };
}
