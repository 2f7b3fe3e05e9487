/** Real packages from the Debian mirror of this machine's apt, downloaded once and kept. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import type { BinaryPackage } from '../src/made-archive/deb-package.ts';

/**
 * 480 packages come to 258 MB, so that a run takes seconds. A package that would lift the mean far
 * above this is passed over; below that bound the mix of sizes is the archive's.
 */
const MEAN_BYTES = 540_000;
const SLACK_BYTES = 20_000_000;
const OUTPUT_BYTES = 256 * 1024 * 1024;
/** Fields of `apt-cache dumpavail` that the archive adds to those of DEBIAN/control. */
const OF_THE_ARCHIVE = new Set(['Filename', 'Size', 'MD5sum', 'SHA1', 'SHA256', 'Description-md5']);

export async function realPackages(count: number, cache: string): Promise<BinaryPackage[]> {
  const chosen = choose(readAvailable(), count);
  const folder = join(cache, 'real-packages');
  mkdirSync(folder, { recursive: true });
  const have = new Map(readdirSync(folder).map((name) => [decodeURIComponent(name), name]));
  const missing = chosen.filter((stanza) => !have.has(downloadName(stanza)));
  if (missing.length > 0) {
    const names = missing.map((stanza) => `${stanza.get('Package')}=${stanza.get('Version')}`);
    execFileSync('apt-get', ['-qq', '-o', 'APT::Sandbox::User=root', 'download', ...names], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    for (const name of readdirSync(folder)) have.set(decodeURIComponent(name), name);
  }
  return chosen.map((stanza) =>
    asPackage(stanza, readFileSync(join(folder, have.get(downloadName(stanza))!))),
  );
}

type Stanza = ReadonlyMap<string, string>;

function readAvailable(): Stanza[] {
  const text = execFileSync('apt-cache', ['dumpavail'], {
    encoding: 'utf8',
    maxBuffer: OUTPUT_BYTES,
  });
  return text.split('\n\n').flatMap((paragraph) => {
    const fields = new Map<string, string>();
    for (const [, name, value] of paragraph.matchAll(/^([^\s:]+):[ \t]*((?:.*)(?:\n[ \t].*)*)/gm))
      fields.set(name!, value!);
    return fields.has('Filename') && ['amd64', 'all'].includes(fields.get('Architecture') ?? '')
      ? [fields]
      : [];
  });
}

/** In an order that depends on neither names nor sizes; the same for the same lists of apt. */
function choose(available: readonly Stanza[], count: number): Stanza[] {
  const order = available
    .map((stanza) => ({
      stanza,
      rank: createHash('md5').update(stanza.get('Package')!).digest('hex'),
    }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1));
  const chosen = new Map<string, Stanza>();
  let bytes = 0;
  for (const { stanza } of order) {
    const size = Number(stanza.get('Size'));
    if (chosen.size === count) break;
    if (
      chosen.has(stanza.get('Package')!) ||
      bytes + size > MEAN_BYTES * (chosen.size + 1) + SLACK_BYTES
    )
      continue;
    chosen.set(stanza.get('Package')!, stanza);
    bytes += size;
  }
  if (chosen.size < count)
    throw new Error(
      `the lists of apt on this machine name ${chosen.size} packages, not ${count}: apt-get update`,
    );
  return [...chosen.values()];
}

/** apt keeps the epoch in the names of downloaded files, percent-encoded. */
const downloadName = (stanza: Stanza): string =>
  `${stanza.get('Package')}_${stanza.get('Version')}_${stanza.get('Architecture')}.deb`;

function asPackage(stanza: Stanza, bytes: Buffer): BinaryPackage {
  const name = stanza.get('Package')!;
  return {
    kind: 'binary',
    name,
    version: stanza.get('Version')!,
    architecture: stanza.get('Architecture')!,
    component: 'main',
    control: new Map([...stanza].filter(([field]) => !OF_THE_ARCHIVE.has(field))),
    installs: [`usr/share/doc/${name}/copyright`],
    file: { name: stanza.get('Filename')!.replace(/^.*\//, ''), bytes },
  };
}
