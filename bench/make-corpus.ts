/** `node make-corpus.ts '{"plan":…,"folder":…}'` makes one corpus; the folder appears complete. */
import { createCipheriv, createHash } from 'node:crypto';
import { mkdir, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { makeBinaryPackage, type BinaryPackage } from '../src/made-archive/deb-package.ts';
import { createSignedArchive, type ReleaseContent } from '../src/made-archive/signed-archive.ts';
import { createSigningKey } from '../src/made-archive/signing-key.ts';
import type { CorpusFile, CorpusPlan } from './corpus.ts';
import { realPackages } from './real-packages.ts';

/**
 * Packages of one name share a folder: as many files per folder as the larger ones of Debian's
 * pools have. rclone lists folder by folder.
 */
const VERSIONS_PER_NAME = 40;
/** What a .deb of makeBinaryPackage adds to its payload. */
const DEB_BYTES = 900;

const { plan, folder } = JSON.parse(process.argv[2]!) as { plan: CorpusPlan; folder: string };
const partial = `${folder}.partial-${process.pid}`;
await mkdir(partial, { recursive: true });
try {
  await make();
  await rename(partial, folder);
} finally {
  await rm(partial, { recursive: true, force: true });
}

async function make(): Promise<void> {
  const key = await createSigningKey('the archive of the debgeo bench');
  const suites = Array.from({ length: plan.suites ?? 1 }, (_, index) => `s${index + 1}`);
  const base =
    'real' in plan.packages
      ? await realPackages(plan.packages.real, dirname(folder))
      : madePackages(plan.packages);
  const began = Math.floor(Date.now() / 1000) * 1000 - 3_600_000;

  const files: CorpusFile[] = [];
  const releases: CorpusFile[][] = Array.from({ length: plan.releases ?? 0 }, () => []);
  for (const [index, suite] of suites.entries()) {
    const archive = createSignedArchive({ folder: join(partial, 'archive'), suite, key });
    let packages = base.filter((_, place) => place % suites.length === index);
    const first = await archive.prepare(packages, { date: new Date(began) });
    await write(join(partial, 'archive'), first, new Set(), began);
    files.push(...first.files.map(described));
    const known = new Set(first.pool.keys());
    for (const [round, release] of releases.entries()) {
      packages = change(packages, round);
      const date = began + (round + 1) * 60_000;
      const next = await archive.prepare(packages, { date: new Date(date) });
      release.push(...(await write(join(partial, `next-${round + 1}`), next, known, date)));
      for (const path of next.pool.keys()) known.add(path);
    }
  }
  await writeFile(join(partial, 'keyring.gpg'), key.publicBinary);
  await writeFile(join(partial, 'corpus.json'), JSON.stringify({ suites, files, releases }));
}

/** Writes all of a release but the pool files that earlier releases wrote. */
async function write(
  root: string,
  content: ReleaseContent,
  known: ReadonlySet<string>,
  date: number,
): Promise<CorpusFile[]> {
  const written: CorpusFile[] = [];
  for (const file of content.files) {
    if (known.has(file.path)) continue;
    const path = join(root, file.path);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, file.bytes);
    await utimes(path, date / 1000, date / 1000);
    written.push(described(file));
  }
  return written;
}

function described({ path, bytes }: { path: string; bytes: Uint8Array }): CorpusFile {
  return { path, size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

function madePackages({
  made,
  bytes: [least, most],
}: {
  made: number;
  bytes: readonly [number, number];
}): BinaryPackage[] {
  return Array.from({ length: made }, (_, index) => {
    const size = least + Math.round(((index * 7919) % made) * ((most - least) / made));
    return madePackage(index, 0, Math.max(1, size - DEB_BYTES));
  });
}

function madePackage(index: number, change: number, size: number): BinaryPackage {
  const number = Math.floor(index / VERSIONS_PER_NAME);
  return makeBinaryPackage({
    name: `${String.fromCharCode(97 + (number % 26))}-${number}`,
    version: `1.${index % VERSIONS_PER_NAME}-${change}`,
    architecture: 'amd64',
    payload: noise(`${index} ${change}`, size),
    compression: 'zst', // xz takes milliseconds per package
  });
}

/** Bytes that do not compress, the same in every run. */
function noise(seed: string, size: number): Buffer {
  const key = createHash('sha256').update(seed).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size));
}

/** Each release changes other packages; a new version has about the size of the old one. */
function change(packages: readonly BinaryPackage[], round: number): BinaryPackage[] {
  const every = Math.max(1, Math.round(1 / (plan.changed ?? 0.01)));
  return packages.map((entry, place) => {
    const isChanged =
      packages.length <= every
        ? place === round % packages.length
        : place % every === (round * 7) % every;
    if (!isChanged) return entry;
    const version = `${entry.version.replace(/\+bench\d+$/, '')}+bench${round + 1}`;
    const { name, component } = entry;
    const payload = noise(`${name} ${version}`, Math.max(1, entry.file.bytes.length - DEB_BYTES));
    return makeBinaryPackage({
      name,
      version,
      component,
      architecture: 'amd64',
      payload,
      compression: 'zst',
    });
  });
}
