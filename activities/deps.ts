import type { Logger } from 'pino';

import type { Archive } from '../src/archive/archive.ts';
import type { DistributionRecord } from '../src/database/catalog/distributions.ts';
import type { Database } from '../src/database/orm.ts';
import type { BlobSetLimits } from '../src/domain/blob-set.ts';
import type { SiteStore } from '../src/site/site-store.ts';
import type { Spool } from '../src/spool/spool.ts';

export type IndexLimits = BlobSetLimits &
  Record<'snapshotIndexBytes' | 'decompressedBytesUnlisted' | 'fetchMs', number>;

/** All that activities reach outside of themselves. Joined in src/deps.ts only. */
export interface Deps {
  readonly database: Database;
  /** @throws ARCHIVE_LOGIN_MISSING, REFERENCE_REFUSED, CONFIG_INVALID */
  archiveOf(archive: DistributionRecord['archive']): Promise<Archive>;
  /**
   * @param archive whose blobs are copied or read back: archives take turns at a site
   * @throws NAME_UNKNOWN, SITE_CREDENTIAL_MISSING, SITE_HOST_UNLISTED, REFERENCE_REFUSED,
   *   CONFIG_INVALID
   */
  siteOf(
    name: string,
    archive?: string,
  ): Promise<{
    readonly id: number;
    readonly name: string;
    readonly publicUrl: string;
    readonly store: SiteStore;
    /** Of `.debgeo/site.json`, as it was written or read; null: the site is not claimed. */
    readonly anchorEtag: string | null;
  }>;
  /** Keeps what was read once for several sites; without it each site reads for itself. */
  readonly spool?: Spool;
  /** How long one sync or checksum activity works; LIMITS.sliceMs unless given. Milliseconds. */
  readonly sliceMs?: number;
  /** Bounds on the indices of a snapshot; LIMITS of these names unless given. */
  readonly indexLimits?: IndexLimits;
  readonly log: Logger;
}
