/** The hash tables of a Release, and the by-hash names of an index that follow from them. */
import { parseRepoPath, type RepoPath } from './repo-path.ts';

/**
 * As Release names its tables and as by-hash folders are named, the strongest first: apt asks for
 * an index by the strongest hash that Release lists for it, and by no other.
 */
export const HASHES = ['SHA512', 'SHA256', 'SHA1', 'MD5Sum'] as const;
export type HashName = (typeof HASHES)[number];

export const HEX_DIGITS: Readonly<Record<HashName, number>> = {
  SHA512: 128,
  SHA256: 64,
  SHA1: 40,
  MD5Sum: 32,
};

/** Digests in lower-case hex. */
export type Hashes = Readonly<Partial<Record<HashName, string>>>;

/** `<folder of the index>/by-hash/<hash>/<hex>` for every hash listed, the strongest first. */
export function byHashPaths(indexPath: RepoPath, hashes: Hashes): RepoPath[] {
  const folder = indexPath.slice(0, indexPath.lastIndexOf('/') + 1);
  const paths: RepoPath[] = [];
  for (const name of HASHES) {
    const digest = hashes[name];
    if (digest !== undefined) paths.push(parseRepoPath(`${folder}by-hash/${name}/${digest}`));
  }
  return paths;
}

/** The strongest first, to sort by-hash paths of one index: apt asks for the first one. */
export const byStrength = (one: RepoPath, other: RepoPath): number =>
  strengthOf(one) - strengthOf(other);

/** `…/by-hash/SHA512/<hex>` is 0, what Release does not name -1. */
const strengthOf = (byHashPath: RepoPath): number =>
  HASHES.findIndex((name) => name === byHashPath.split('/').at(-2));
