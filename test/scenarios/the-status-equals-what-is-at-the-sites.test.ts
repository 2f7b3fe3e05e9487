/**
 * A stranger's view: the demo runs as its own process and is kept; `debgeo status --json` is
 * compared with a walk from InRelease down over anonymous HTTP. Imports nothing of debgeo.
 */
import assert from 'node:assert/strict';
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';

import { stopChild } from '../support/child.ts';

const ROOT = join(import.meta.dirname, '../..');

interface SiteStatus {
  site: string;
  publicUrl: string;
  served: number;
  synced: number;
  verified: number;
  members: number;
}

test(
  'the status of a kept demo equals what a stranger finds at the sites',
  { timeout: 300_000 },
  async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'debgeo-kept-'));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const environment = { ...process.env, DEBGEO_DATA_DIR: folder };
    const demo = spawn(process.execPath, ['src/demo/main.ts', '--keep'], {
      cwd: ROOT,
      env: environment,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.after(() => stopChild(demo));
    const printed = await printedUntil(demo, /^demo: .*\n/m);
    const [last] = /^demo: 2 of 2 sites .*$/m.exec(printed) ?? [];
    assert.match(last ?? '', /^demo: 2 of 2 sites serve generation \d+, \d+ blobs verified, /);
    assert.match(last ?? '', / fetched \d+ packages from each, 0 failures in \d+ cycles, /);
    assert.match(last ?? '', /cycles, 1 forgery refused, 1 corruption found and repaired$/);

    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['src/main.ts', 'status', '--json', '--demo'],
      {
        cwd: ROOT,
        env: environment,
      },
    );
    const [status] = JSON.parse(stdout) as {
      suite: string;
      generation: number;
      sites: SiteStatus[];
    }[];

    assert.equal(status!.sites.length, 2);
    for (const site of status!.sites) {
      const found = await walk(`${site.publicUrl}/debian`, status!.suite);
      assert.deepEqual(
        [site.served, site.synced, site.verified, site.members],
        [status!.generation, found, found, found],
        site.site,
      );
    }
  },
);

/**
 * What the process printed up to a line, or up to its end. Its pipe stays open: it goes on
 * printing.
 */
const printedUntil = (process: ChildProcess, line: RegExp): Promise<string> =>
  new Promise((resolve) => {
    let printed = '';
    process.stdout!.on('data', (chunk) => {
      printed += String(chunk);
      if (line.test(printed)) resolve(printed);
    });
    process.once('exit', () => resolve(printed));
  });

/** Counts the immutable files that InRelease leads to, each read and hashed. */
async function walk(root: string, suite: string): Promise<number> {
  const release = String(await bytesAt(`${root}/dists/${suite}/InRelease`));
  const files = new Map<string, string>();
  for (const [algorithm, name] of [
    ['MD5Sum', 'md5'],
    ['SHA1', 'sha1'],
    ['SHA256', 'sha256'],
    ['SHA512', 'sha512'],
  ] as const)
    for (const { digest, path } of tableOf(release, algorithm)) {
      const folder = `dists/${suite}/${path}`.replace(/\/[^/]+$/, '');
      const byHash = `${folder}/by-hash/${algorithm}/${digest}`;
      const canonical = await fetch(`${root}/dists/${suite}/${path}`);
      await canonical.body?.cancel();
      if (canonical.status === 404) {
        assert.equal((await fetch(`${root}/${byHash}`)).status, 404, `${byHash} of an absent name`);
        continue;
      }
      const bytes = await bytesAt(`${root}/${byHash}`);
      assert.equal(createHash(name).update(bytes).digest('hex'), digest, byHash);
      files.set(byHash, digest);
      if (/\/Packages\.gz$/.test(path))
        for (const file of poolOf(gunzipSync(bytes).toString())) files.set(file.path, file.sha256);
      if (/\/Sources\.gz$/.test(path))
        for (const file of sourcesOf(gunzipSync(bytes).toString()))
          files.set(file.path, file.sha256);
    }
  for (const [path, sha256] of files)
    if (path.startsWith('pool/'))
      assert.equal(
        createHash('sha256')
          .update(await bytesAt(`${root}/${quoted(path)}`))
          .digest('hex'),
        sha256,
        path,
      );
  assert.ok(files.size > 0);
  return files.size;
}

const quoted = (path: string): string => path.split('/').map(encodeURIComponent).join('/');

async function bytesAt(url: string): Promise<Buffer> {
  const answer = await fetch(url);
  assert.equal(answer.status, 200, url);
  return Buffer.from(await answer.arrayBuffer());
}

function tableOf(release: string, field: string): { digest: string; path: string }[] {
  const block = new RegExp(`^${field}:\\s*\\n((?: .*\\n)+)`, 'm').exec(release)?.[1] ?? '';
  return block
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [digest, , path] = line.trim().split(/\s+/);
      return { digest: digest!, path: path! };
    });
}

const poolOf = (packages: string): { path: string; sha256: string }[] =>
  packages
    .split('\n\n')
    .filter((stanza) => stanza.trim() !== '')
    .map((stanza) => ({
      path: /^Filename: (.*)$/m.exec(stanza)![1]!,
      sha256: /^SHA256: (.*)$/m.exec(stanza)![1]!,
    }));

const sourcesOf = (sources: string): { path: string; sha256: string }[] =>
  sources
    .split('\n\n')
    .filter((stanza) => stanza.trim() !== '')
    .flatMap((stanza) => {
      const folder = /^Directory: (.*)$/m.exec(stanza)![1]!;
      const lines = /^Checksums-Sha256:\s*\n((?: .*(?:\n|$))+)/m.exec(stanza)![1]!.split('\n');
      return lines
        .filter((line) => line.trim() !== '')
        .map((line) => ({
          path: `${folder}/${line.trim().split(/\s+/)[2]}`,
          sha256: line.trim().split(/\s+/)[0]!,
        }));
    });
