/** What happens to the bytes of a site behind the program's back. */
import type { RepoPath } from '../../src/domain/repo-path.ts';
import type { Corruption } from '../support/corruptions.ts';
import type { StoredBlob } from './stand-in.ts';
import type { ModelSite, SiteName, System } from './system.ts';
import { at, MOUNT } from './watch.ts';

/**
 * The nth blob that clients read, in the order of paths. Wrong bytes at a published name keep their
 * ETag, or are those of an older release: others are another program's for debgeo, which leaves
 * them to a person (FOREIGN_WRITE).
 */
export function corrupt(system: System, site: SiteName, nth: number, how: Corruption): void {
  const { standIn, watch } = system.sites.get(site)!;
  const paths = [...standIn.blobs.keys()].filter((path) => path.startsWith(MOUNT)).toSorted();
  if (paths.length === 0) return;
  const path = paths[nth % paths.length]!;
  const blob = standIn.blobs.get(path)!;
  if (how === 'deletion') standIn.blobs.delete(path);
  else standIn.blobs.set(path, corrupted(system, site, path, blob, how));
  if (standIn.blobs.get(path)?.sha256 === blob.sha256) return;
  watch.rotten.set(path, system.rotsAt());
  watch.lookAgain(system.rotsAt(), 'nothing');
}

function corrupted(
  system: System,
  site: SiteName,
  path: RepoPath,
  blob: StoredBlob,
  how: Exclude<Corruption, 'deletion'>,
): StoredBlob {
  const { bytes } = blob;
  const older = system.olderBytes(path);
  const others = {
    'bit flip': flipped,
    'same-length swap': () => Buffer.alloc(bytes.length, 'x'),
    truncation: () => bytes.subarray(0, -1),
    'zero length': () => Buffer.alloc(0),
    'older version': () => older ?? Buffer.concat([bytes, bytes]),
  }[how](bytes);
  const rotten = system.sites.get(site)!.standIn.versionOf(others, blob);
  const isName = isPublishedName(path);
  const isInside = how === 'bit flip' || how === 'same-length swap';
  const isOlder = how === 'older version' && older !== null;
  return isInside || (isName && !isOlder) ? silently(blob, rotten) : rotten;
}

const isPublishedName = (path: RepoPath): boolean =>
  path.startsWith(at('dists/')) && !path.includes('/by-hash/');

/** What a person does about bytes that nothing needs. */
export function deleteRottenNames({ standIn, watch }: ModelSite): void {
  for (const path of watch.rotten.keys()) if (isPublishedName(path)) standIn.blobs.delete(path);
}

/** Inside of the storage: no header tells of it. */
const silently = ({ etag, lastModified, md5 }: StoredBlob, rotten: StoredBlob): StoredBlob => ({
  ...rotten,
  etag,
  lastModified,
  md5,
});

function flipped(bytes: Buffer): Buffer {
  const other = Buffer.from(bytes);
  if (other.length > 0) other[0]! ^= 1;
  return other;
}

export function emptyContainer(system: System, site: SiteName): void {
  const { standIn, watch } = system.sites.get(site)!;
  for (const path of standIn.blobs.keys()) watch.rotten.set(path, system.rotsAt());
  standIn.blobs.clear();
  watch.served = [];
}

export function keepCopy(system: System, site: SiteName): void {
  const one = system.sites.get(site)!;
  one.copy = { blobs: new Map(one.standIn.blobs), rotten: new Set(one.watch.rotten.keys()) };
}

/** Other versions with the bytes of then: what differs is rotten, and so is what was then. */
export function restoreCopy(system: System, site: SiteName): void {
  const { copy, standIn, watch } = system.sites.get(site)!;
  if (copy === null) return;
  for (const path of new Set([...standIn.blobs.keys(), ...copy.blobs.keys()]))
    if (standIn.blobs.get(path)?.sha256 !== copy.blobs.get(path)?.sha256)
      watch.rotten.set(path, system.rotsAt());
  for (const path of copy.rotten) watch.rotten.set(path, system.rotsAt());
  standIn.blobs.clear();
  for (const [path, blob] of copy.blobs)
    standIn.blobs.set(path, standIn.versionOf(blob.bytes, blob));
  watch.served = [];
  watch.lookAgain(system.rotsAt(), 'grace');
}
