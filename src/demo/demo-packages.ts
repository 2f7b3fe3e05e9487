/** The packages of the demo's own archive, release by release; the same bytes in every run. */
import { createHash } from 'node:crypto';

import { makeBinaryPackage, makeSourcePackage, type Package } from '../made-archive/deb-package.ts';

/** One name has signs that apt quotes, and one package is for all architectures. */
const NAMES = [
  ...['hello', 'libgreeting1', 'libgreeting++', 'greeting-doc', 'atlas', 'beacon', 'compass'],
  ...['dinghy', 'estuary', 'ferry', 'galley', 'harbour', 'island', 'jetty', 'keel', 'lagoon'],
  ...['mooring', 'narrows', 'oar', 'pier', 'quay', 'rudder', 'sail', 'tide'],
];

/** Packages that each release of act 2 changes. */
const CHANGED = 4;

/** All packages of release `number`, which counts from 1; each release changes CHANGED of them. */
export const packagesOf = (number: number): Package[] => [
  ...NAMES.map((name, index) => makePackage(name, lastChange(index, number))),
  makeSourcePackage({
    name: 'hello',
    version: versionOf(lastChange(0, number)),
    payload: Buffer.from('the source of hello'),
  }),
];

/** `change` is the release that changed it last. Also for names that `packagesOf` does not have. */
export const makePackage = (name: string, change: number): Package =>
  makeBinaryPackage({
    name,
    version: versionOf(change),
    architecture: name.endsWith('-doc') ? 'all' : 'amd64',
    payload: payloadOf(name, change),
    ...(name === 'hello' ? { depends: 'libgreeting1 (>= 1.0)' } : {}),
  });

/** The last release up to `number` that changed the package at this index; they take turns. */
function lastChange(index: number, number: number): number {
  const turn = Math.floor(index / CHANGED);
  const turns = NAMES.length / CHANGED;
  const rounds = Math.floor((number - 2 - turn) / turns);
  return number - 2 < turn ? 1 : 2 + turn + rounds * turns;
}

const versionOf = (change: number): string => `1.0~${change}+b1`;

/** 4 to 36 kB that do not compress. */
function payloadOf(name: string, change: number): Buffer {
  const seed = createHash('sha256').update(`${name} ${change}`).digest();
  const blocks: Buffer[] = [];
  for (let block = 0; block < 128 + (seed[0] ?? 0) * 4; block++)
    blocks.push(createHash('sha256').update(seed).update(String(block)).digest());
  return Buffer.concat(blocks);
}
