import { createHash } from 'node:crypto';

import { makeBinaryPackage, makeSourcePackage, type Package } from '../made-archive/deb-package.ts';

/** Names that apt quotes are among them, and one package for every architecture. */
const NAMES = [
  'hello', 'libgreeting1', 'libgreeting++', 'greeting-doc', 'atlas', 'beacon', 'compass', 'dinghy', 'estuary', 'ferry', 'galley', 'harbour',
  'island', 'jetty', 'keel', 'lagoon', 'mooring', 'narrows', 'oar', 'pier', 'quay', 'rudder', 'sail', 'tide',
]; // prettier-ignore

/** How many packages each release of act 2 changes. */
const CHANGED = 4;

/**
 * The whole archive after so many releases: `number` counts from 1, and each release changes a few
 * packages.
 */
export const packagesOf = (number: number): Package[] => [
  ...NAMES.map((name, index) => makePackage(name, lastChange(index, number))),
  makeSourcePackage({
    name: 'hello',
    version: versionOf(lastChange(0, number)),
    payload: Buffer.from('the source of hello'),
  }),
];

/** A package that is in no release of `packagesOf`. */
export const makePackage = (name: string, change: number): Package =>
  makeBinaryPackage({
    name,
    version: versionOf(change),
    architecture: name.endsWith('-doc') ? 'all' : 'amd64',
    payload: payloadOf(name, change),
    ...(name === 'hello' ? { depends: 'libgreeting1 (>= 1.0)' } : {}),
  });

/**
 * The last release, up to this one, that changed the package at this place of the list; they take
 * turns.
 */
function lastChange(index: number, number: number): number {
  const turn = Math.floor(index / CHANGED);
  const turns = NAMES.length / CHANGED;
  const rounds = Math.floor((number - 2 - turn) / turns);
  return number - 2 < turn ? 1 : 2 + turn + rounds * turns;
}

const versionOf = (change: number): string => `1.0~${change}+b1`;

/** 4 to 36 kB that do not compress, the same in every run. */
function payloadOf(name: string, change: number): Buffer {
  const seed = createHash('sha256').update(`${name} ${change}`).digest();
  const blocks: Buffer[] = [];
  for (let block = 0; block < 128 + (seed[0] ?? 0) * 4; block++)
    blocks.push(createHash('sha256').update(seed).update(String(block)).digest());
  return Buffer.concat(blocks);
}
