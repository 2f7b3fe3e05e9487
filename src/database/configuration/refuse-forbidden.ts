/** What no apply may change. */
import { sql } from 'kysely';

import { DebgeoError } from '../../domain/errors.ts';
import { isNested, placeOf } from '../../domain/place.ts';
import type { Tx } from '../orm.ts';
import { all } from '../sql.ts';
import type { AppliedConfiguration } from './applied-configuration.ts';
import type { Known } from './known.ts';

/** A name of the tables, and what it stands for: no other name may stand for the same. */
interface Holder {
  readonly name: string;
  readonly place: string;
  /** Something was captured or copied under it: the name keeps its place. */
  readonly isUsed: boolean;
}

/**
 * Names keep what they stood for, and two names never stand for one thing: what is at the sites
 * would be lost from sight.
 * @throws CONFIG_INVALID
 */
export async function refuseForbidden(
  tx: Tx,
  known: Known,
  { archives, sites, distributions }: AppliedConfiguration,
): Promise<void> {
  const usedSites = await readUsedSites(tx);
  const captured = [...known.distributions.values()].filter((one) => one.latestGeneration > 0);
  const faults = [
    ...faultsOf(
      'mount of archive',
      [...known.archives.values()].map((archive) => ({
        name: archive.name,
        place: archive.mount,
        isUsed: captured.some((one) => one.archive.id === archive.id),
      })),
      Object.entries(archives).map(([name, { mount }]) => [name, mount]),
      isNested,
    ),
    ...faultsOf(
      'place of site',
      [...known.sites.values()].map((site) => ({
        name: site.name,
        place: placeOf({
          account_url: site.accountUrl,
          container: site.container,
          prefix: site.prefix,
        }),
        isUsed: usedSites.has(site.id),
      })),
      Object.entries(sites).map(([name, site]) => [name, placeOf(site)]),
      isNested,
    ),
    ...faultsOf(
      'archive and suite of distribution',
      [...known.distributions.values()].map((distribution) => ({
        name: distribution.name,
        place: `${distribution.archive.getEntity().name} ${distribution.suite}`,
        isUsed: distribution.latestGeneration > 0,
      })),
      Object.entries(distributions).map(([name, { archive, suite }]) => [
        name,
        `${archive} ${suite}`,
      ]),
      isEqual,
    ),
  ];
  if (faults.length === 0) return;
  throw new DebgeoError('CONFIG_INVALID', 'what is at the sites would be lost from sight', {
    expected: 'mounts, places and suites as they were applied before',
    found: faults,
    state: 'nothing changed',
  });
}

/** In SQL: the registry has no entity. */
async function readUsedSites(tx: Tx): Promise<Set<number>> {
  const rows = await all(
    tx,
    sql<{ id: number }>`
      select s.id
      from replication_sites s
      where exists (select from blob_registry r where r.site_id = s.id)`,
  );
  return new Set(rows.map(({ id }) => id));
}

/**
 * @param wanted names of the configuration with their places; those that it leaves out keep theirs
 * @param meets whether two places would be one
 */
function faultsOf(
  what: string,
  holders: readonly Holder[],
  wanted: readonly (readonly [name: string, place: string])[],
  meets: (one: string, other: string) => boolean,
): string[] {
  const names = new Set(wanted.map(([name]) => name));
  const others = holders.filter(({ name }) => !names.has(name));
  return wanted.flatMap(([name, place]) => {
    const own = holders.find((holder) => holder.name === name);
    const moved =
      own?.isUsed === true && own.place !== place
        ? [
            `${what} ${name}: ${own.place} is in use and cannot become ${place}; ` +
              'choose another name',
          ]
        : [];
    const taken = others
      .filter((other) => meets(other.place, place))
      .map((other) => `${what} ${name}: ${place} belongs to ${other.name} (${other.place})`);
    return [...moved, ...taken];
  });
}

const isEqual = (one: string, other: string): boolean => one === other;
