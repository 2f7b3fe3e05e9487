/**
 * What the schema of an entry cannot say: references between entries, and entries that exclude each
 * other.
 */
import { foldersOf, isReserved, placeOf } from '../domain/place.ts';
import type { Fault, Tell } from './configuration-faults.ts';
import {
  isRepoPath,
  type ArchiveEntry,
  type DistributionEntry,
  type SiteEntry,
} from './configuration-schema.ts';
import { judgeArchive, judgeReference, readArchiveFiles } from './judge-archive.ts';

/**
 * The entries that are right by themselves, and the names of all entries: a reference to an entry
 * that is wrong is no second fault.
 */
export interface Section<T> {
  readonly entries: ReadonlyMap<string, T>;
  readonly names: ReadonlySet<string>;
}

export type ArchiveConfiguration = Omit<ArchiveEntry, 'keyring' | 'unsigned' | 'mount' | 'ca'> & {
  readonly mount: string;
  /** PEM. */
  readonly ca: Uint8Array | null;
  /** Null: unsigned is accepted, on purpose. */
  readonly keyring: Uint8Array | null;
};
export type SiteConfiguration = Omit<SiteEntry, 'public_url'> & { readonly public_url: string };
export type DistributionConfiguration = Omit<DistributionEntry, 'primary'> & {
  readonly primary: string;
};

const RESERVED = '.debgeo is reserved';

const tellInto =
  (faults: Fault[]): Tell =>
  (path, message) =>
    void faults.push({ path, message });

/** Reads the files that they name, from `folder`. */
export function completeArchives(
  { entries }: Section<ArchiveEntry>,
  folder: string,
  faults: Fault[],
): Record<string, ArchiveConfiguration> {
  const tell = tellInto(faults);
  const archives: Record<string, ArchiveConfiguration> = {};
  for (const [key, entry] of entries) {
    const tellHere: Tell = (path, message) => tell(['archives', key, ...path], message);
    judgeArchive(entry, tellHere);
    const { keyring, unsigned: _, ca, mount = key, ...rest } = entry;
    archives[key] = { ...rest, mount, ...readArchiveFiles({ keyring, ca }, folder, tellHere) };
  }
  judgeMounts(archives, tell);
  return archives;
}

function judgeMounts(archives: Readonly<Record<string, ArchiveConfiguration>>, tell: Tell): void {
  const byMount = Map.groupBy(Object.keys(archives), (key) => archives[key]!.mount);
  for (const [key, { mount }] of Object.entries(archives)) {
    for (const folder of foldersOf(mount)) {
      const other = byMount.get(folder)?.find((one) => one !== key);
      if (other !== undefined)
        tell(
          ['archives', key, 'mount'],
          `lies in the mount of ${other}: two archives never share a folder`,
        );
    }
    if (isReserved(mount)) tell(['archives', key, 'mount'], RESERVED);
  }
}

export function completeSites(
  { entries }: Section<SiteEntry>,
  faults: Fault[],
): Record<string, SiteConfiguration> {
  const tell = tellInto(faults);
  const sites: Record<string, SiteConfiguration> = {};
  for (const [key, { public_url, ...rest }] of entries) {
    if (isReserved(rest.prefix)) tell(['sites', key, 'prefix'], RESERVED);
    if ('identity' in rest.credential && !rest.account_url.startsWith('https:'))
      tell(['sites', key, 'credential'], 'an identity is used over https only');
    if (!('identity' in rest.credential))
      judgeReference(rest.credential, ['sites', key, 'credential'], tell);
    const { account_url, container, prefix } = rest;
    const folder = [account_url, container, prefix].filter((part) => part !== '').join('/');
    sites[key] = { ...rest, public_url: public_url ?? folder };
  }
  judgePlaces(sites, tell);
  return sites;
}

function judgePlaces(sites: Readonly<Record<string, SiteConfiguration>>, tell: Tell): void {
  const places = new Map(Object.entries(sites).map(([key, site]) => [key, placeOf(site)]));
  const byPlace = Map.groupBy(places.keys(), (key) => places.get(key)!);
  for (const [key, place] of places)
    for (const folder of foldersOf(place)) {
      const other = byPlace.get(folder)?.find((one) => one !== key);
      if (other === undefined) continue;
      const relation = folder === place ? 'is the same place as' : 'lies in the place of';
      tell(['sites', key], `${relation} ${other} (${folder}): two sites never share a folder`);
    }
}

export function completeDistributions(
  { entries }: Section<DistributionEntry>,
  archives: Section<ArchiveEntry>,
  sites: Section<SiteEntry>,
  faults: Fault[],
): Record<string, DistributionConfiguration> {
  const distributions: Record<string, DistributionConfiguration> = {};
  const suites = new Map<string, string>();
  for (const [key, { primary, ...rest }] of entries) {
    const tell: Tell = (path, message) =>
      void faults.push({ path: ['distributions', key, ...path], message });
    if (!archives.names.has(rest.archive))
      tell(['archive'], `there is no archive ${rest.archive} in this file`);
    judgeSuite(rest, tell);
    const suite = `${rest.archive} ${rest.suite}`;
    if (suites.has(suite)) tell(['suite'], `is replicated as ${suites.get(suite)} already`);
    suites.set(suite, key);
    if (rest.stale_after !== undefined && rest.stale_after <= rest.poll)
      tell(
        ['stale_after'],
        'is not longer than poll: between two looks every release would be stale',
      );
    judgeSites(rest.sites, sites, tell);
    if (primary !== undefined && !rest.sites.includes(primary))
      tell(['primary'], 'the primary is one of the sites');
    distributions[key] = { ...rest, primary: primary ?? rest.sites[0]! };
  }
  return distributions;
}

function judgeSuite({ suite, components }: DistributionEntry, tell: Tell): void {
  if (suite === './')
    tell(
      ['suite'],
      'write / here and in sources.list: with ./ apt asks for names that blob storage cannot have',
    );
  else if (suite !== '/' && !isRepoPath(suite.replace(/\/$/, '')))
    tell(
      ['suite'],
      'a suite is a path below dists/, or a folder that ends in / for a flat archive',
    );
  if (suite.endsWith('/') && components.length > 0)
    tell(['components'], 'a flat archive has no components');
}

function judgeSites(names: readonly string[], sites: Section<SiteEntry>, tell: Tell): void {
  const named = new Set<string>();
  names.forEach((name, index) => {
    if (!sites.names.has(name)) tell(['sites', index], `there is no site ${name} in this file`);
    else if (sites.entries.get(name)?.state === 'absent')
      tell(['sites', index], `${name} is absent`);
    if (named.has(name)) tell(['sites', index], `${name} is named twice`);
    named.add(name);
  });
}
