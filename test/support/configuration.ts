import type { AppliedConfiguration } from '../../src/database/configuration/apply-configuration.ts';

type Archive = AppliedConfiguration['archives'][string];
type Site = AppliedConfiguration['sites'][string];
type Distribution = AppliedConfiguration['distributions'][string];
/** Names alone where the defaults do, or what differs from them by name. */
type Named<Part> = readonly string[] | Readonly<Record<string, Partial<Part>>>;

/**
 * The archive `debian`, these sites, and these distributions of it: each the suite of its name, at
 * every site, the first one primary, looked at only when asked.
 */
export function aConfiguration(of: {
  readonly archive?: Partial<Archive>;
  readonly sites: Named<Site>;
  readonly distributions: Named<Distribution>;
}): AppliedConfiguration {
  const sites = eachOf(of.sites, siteNamed);
  const names = Object.keys(sites);
  const distributionNamed = (name: string): Distribution => ({
    archive: 'debian',
    suite: name,
    components: [],
    architectures: [],
    sites: names,
    primary: names[0]!,
    poll: 3_600_000,
    accept_undated: false,
    state: 'present',
  });
  return {
    archives: { debian: { ...ARCHIVE, ...of.archive } },
    sites,
    distributions: eachOf(of.distributions, distributionNamed),
  };
}

/** Where no server listens: for tests that ask neither. */
const ARCHIVE: Archive = {
  url: 'http://127.0.0.1:1',
  mount: 'debian',
  keyring: null,
  redirect_origins: [],
  private_network: true,
};
const siteNamed = (name: string): Site => ({
  account_url: `http://127.0.0.1:1/${name}`,
  container: 'c',
  prefix: '',
  public_url: `http://127.0.0.1:1/${name}`,
  credential: { env: 'NONE' },
  state: 'present',
});

function eachOf<Part>(named: Named<Part>, defaultOf: (name: string) => Part): Record<string, Part> {
  const parts = Array.isArray(named)
    ? named.map((name) => [name, {}] as const)
    : Object.entries(named);
  return Object.fromEntries(parts.map(([name, part]) => [name, { ...defaultOf(name), ...part }]));
}
