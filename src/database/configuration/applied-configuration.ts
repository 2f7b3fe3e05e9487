import type { ArchiveLogin } from '../../domain/archive-login.ts';
import type { StoredCredential } from '../entities/replication-site.ts';

/**
 * What `debgeo apply` brings into the tables, as maps by name. A name that the maps leave out
 * stays as it is.
 */
export interface AppliedConfiguration {
  readonly archives: Readonly<Record<string, AppliedArchive>>;
  readonly sites: Readonly<Record<string, AppliedSite>>;
  readonly distributions: Readonly<Record<string, AppliedDistribution>>;
}

export interface AppliedArchive {
  readonly url: string;
  readonly mount: string;
  readonly keyring: Uint8Array | null;
  readonly redirect_origins: readonly string[];
  readonly login?: ArchiveLogin | undefined;
  /** PEM. */
  readonly ca?: Uint8Array | null;
  readonly private_network?: boolean;
  readonly insecure?: boolean;
}

export interface AppliedSite {
  readonly account_url: string;
  readonly container: string;
  readonly prefix: string;
  readonly public_url: string;
  readonly credential: StoredCredential;
  readonly worker_group?: string | undefined;
  /**
   * Milliseconds, as `prune`; LIMITS of graceMs, keptGenerations and pruneIntervalMs unless given.
   */
  readonly grace?: number;
  readonly keep?: number;
  readonly prune?: number;
  /** Milliseconds; null: off. LIMITS.scrubIntervalMs unless given. */
  readonly scrub?: number | null;
  readonly bytes_per_second?: number | undefined;
  readonly state: 'present' | 'absent';
}

export interface AppliedDistribution {
  readonly archive: string;
  readonly suite: string;
  readonly components: readonly string[];
  readonly architectures: readonly string[];
  readonly sites: readonly string[];
  readonly primary: string;
  /** Milliseconds, as `stale_after`. */
  readonly poll: number;
  readonly accept_undated: boolean;
  readonly stale_after?: number | undefined;
  readonly state: 'present' | 'absent';
}
