/**
 * `npm run demo:real-packages`: 200 real packages of this machine's Debian mirror, in an archive
 * that apt-ftparchive makes and a key of its own signs, through the demo. No part of `npm test`: it
 * downloads a few megabytes from wherever this machine's apt is told to look.
 */
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { readStanzas } from '../../src/witness/ask-as-apt.ts';
import { Workshop } from '../support/made-archives.ts';
import { NEEDS_ARCHIVE_MAKERS } from '../support/needs.ts';

const PACKAGES = 200;
const BYTES_MAX = 100_000;
const ROOT = join(import.meta.dirname, '../..');

if (NEEDS_ARCHIVE_MAKERS.skip !== false) throw new Error(NEEDS_ARCHIVE_MAKERS.skip);
const workshop = await Workshop.open();
try {
  process.exitCode = await replicate();
} finally {
  await workshop.close();
}

async function replicate(): Promise<number | null> {
  const debs = join(workshop.folder, 'debs');
  await mkdir(debs);
  const names = chooseNames();
  console.log(`apt-get download of ${names.length} packages of at most ${BYTES_MAX} bytes`);
  execFileSync('apt-get', ['-o', 'APT::Sandbox::User=root', '-qq', 'download', ...names], {
    cwd: debs,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const files = await Promise.all(
    (await readdir(debs)).map(async (name) => ({ name, bytes: await readFile(join(debs, name)) })),
  );
  if (files.length !== PACKAGES) throw new Error(`${files.length} packages came, not ${PACKAGES}`);

  const root = join(workshop.folder, 'archive');
  await workshop.aptFtparchive(root, 'real', files);
  const options = ['--archive', root, '--suite', 'real', '--keyring', workshop.keyringFile];
  const demo = spawn(process.execPath, ['src/demo/main.ts', ...options], {
    cwd: ROOT,
    stdio: 'inherit',
  });
  return new Promise((resolve) => demo.once('close', resolve));
}

/** Small ones of Debian's main, from all over the alphabet and the same in every run. */
function chooseNames(): string[] {
  const available = execFileSync('apt-cache', ['dumpavail'], {
    maxBuffer: 1024 * 1024 * 1024,
  }).toString('utf8');
  const sizes = new Map<string, number>();
  for (const stanza of readStanzas(available)) {
    if (!/^pool\/(updates\/)?main\//.test(stanza.get('filename') ?? '')) continue;
    const name = stanza.get('package') ?? '';
    sizes.set(name, Math.max(Number(stanza.get('size')), sizes.get(name) ?? 0));
  }
  const placeOf = (name: string): string => createHash('sha256').update(name).digest('hex');
  const small = [...sizes].filter(([, size]) => size <= BYTES_MAX).map(([name]) => name);
  if (small.length < PACKAGES) throw new Error('apt knows too few packages here: apt-get update');
  return small
    .toSorted((one, other) => (placeOf(one) < placeOf(other) ? -1 : 1))
    .slice(0, PACKAGES);
}
