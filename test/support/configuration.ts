import type { AppliedConfiguration } from '../../src/database/configuration/apply-configuration.ts';

/**
 * One archive at `debian`, and each of these suites of it at each of these sites, the first one
 * primary; looked at only when asked.
 */
export const aConfiguration = (of: {
  readonly archiveUrl: string;
  readonly keyring: Uint8Array;
  readonly suites: readonly string[];
  readonly sites: AppliedConfiguration['sites'];
}): AppliedConfiguration => {
  const sites = Object.keys(of.sites);
  const distribution = (suite: string): AppliedConfiguration['distributions'][string] => ({
    archive: 'debian',
    suite,
    components: [],
    architectures: [],
    sites,
    primary: sites[0]!,
    poll: 3_600_000,
    accept_undated: false,
    state: 'present',
  });
  return {
    archives: {
      debian: { url: of.archiveUrl, mount: 'debian', keyring: of.keyring, redirect_origins: [] },
    },
    sites: of.sites,
    distributions: Object.fromEntries(of.suites.map((suite) => [suite, distribution(suite)])),
  };
};
