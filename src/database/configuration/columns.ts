/** What an operator configures, as the columns that hold it. */
import { LIMITS } from '../../domain/limits.ts';
import type { Archive } from '../entities/archive.ts';
import type { ReplicationSite } from '../entities/replication-site.ts';
import type { AppliedArchive, AppliedDistribution, AppliedSite } from './applied-configuration.ts';

export const columnsOfArchive = (name: string, archive: AppliedArchive) => ({
  name,
  url: archive.url,
  mount: archive.mount,
  keyring: archive.keyring === null ? null : Buffer.from(archive.keyring),
  redirectOrigins: [...archive.redirect_origins],
  login: archive.login ?? null,
  ca: archive.ca ? Buffer.from(archive.ca) : null,
  privateNetwork: archive.private_network ?? false,
  insecure: archive.insecure ?? false,
});

export const columnsOfSite = (name: string, site: AppliedSite) => ({
  name,
  accountUrl: site.account_url,
  container: site.container,
  prefix: site.prefix,
  publicUrl: site.public_url,
  credential: site.credential,
  workerGroup: site.worker_group ?? null,
  enabled: site.state === 'present',
  bytesPerSecond: site.bytes_per_second ?? null,
  graceMs: site.grace ?? LIMITS.graceMs,
  keptGenerations: site.keep ?? LIMITS.keptGenerations,
  pruneIntervalMs: site.prune ?? LIMITS.pruneIntervalMs,
  scrubIntervalMs: site.scrub === undefined ? LIMITS.scrubIntervalMs : site.scrub,
});

export const columnsOfDistribution = (
  name: string,
  distribution: AppliedDistribution,
  archives: ReadonlyMap<string, Archive>,
  sites: ReadonlyMap<string, ReplicationSite>,
) => ({
  name,
  archive: archives.get(distribution.archive)!,
  suite: distribution.suite,
  components: [...distribution.components],
  architectures: [...distribution.architectures],
  replicationSite: sites.get(distribution.primary)!,
  removed: distribution.state === 'absent',
  pollIntervalMs: distribution.poll,
  acceptUndated: distribution.accept_undated,
  staleAfterMs: distribution.stale_after ?? null,
});
