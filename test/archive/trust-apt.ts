/**
 * What the apt of this host says of many archives at once: one apt with one source for each. It is
 * the judge; gpgv alone reads no Release and no index.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { ReleaseSet } from '../../src/domain/snapshot.ts';
import { PACKAGES } from './release-sets.ts';

export interface Offered {
  readonly set: ReleaseSet;
  readonly keyring: Uint8Array;
  /** What apt tells armored keys by. */
  readonly isArmored: boolean;
}

/** A file that apt would fetch for an index. */
export interface Asked {
  /** As it stands in the request, encoded. */
  readonly path: string;
  readonly size: string;
  /** `SHA256:<hex>`, or what else apt takes for the strongest. */
  readonly hash: string;
}

export type IndexKind = 'Packages' | 'Sources';

/** Where apt would ask for files, and is never let: nothing listens there. */
const HOST = '127.0.0.1:9';

/** The places in `offered` of those whose package apt knows after `apt-get update`. */
export async function aptTakes(
  root: string,
  offered: readonly Offered[],
): Promise<ReadonlySet<number>> {
  const env = prepare(
    root,
    offered.map(({ set, keyring, isArmored }, index) => {
      write(root, `${index}/dists/stable/InRelease`, set.inRelease);
      write(root, `${index}/dists/stable/Release`, set.release);
      write(root, `${index}/dists/stable/Release.gpg`, set.releaseGpg);
      write(root, `${index}/dists/stable/main/binary-amd64/Packages`, PACKAGES);
      const pinned = `${index}/keyring.${isArmored ? 'asc' : 'gpg'}`;
      write(root, pinned, keyring);
      return `deb [signed-by=${root}/${pinned}] file:${root}/${index} stable main\n`;
    }),
  );
  await run('apt-get', ['update'], env); // fails: some sources are refused
  const { output } = await run('apt-cache', ['madison', 'hello'], env);
  return new Set(
    [...output.matchAll(/file:\S*\/(\d+) stable\/main/g)].map(([, index]) => Number(index)),
  );
}

/**
 * What apt would fetch of each index, in the order of the index; null where it cannot read the
 * index at all, and then no other one. Packages need names of their own in all of them.
 */
export async function aptAsksFor(
  root: string,
  kind: IndexKind,
  indices: readonly Uint8Array[],
): Promise<readonly (readonly Asked[] | null)[]> {
  rmSync(root, { recursive: true, force: true });
  const folder = kind === 'Packages' ? 'binary-amd64' : 'source';
  const type = kind === 'Packages' ? 'deb' : 'deb-src';
  const env = prepare(
    root,
    indices.map((index, at) => {
      write(root, `lists/${HOST}_${at}_dists_stable_main_${folder}_${kind}`, index);
      return `${type} [trusted=yes] http://${HOST}/${at} stable main\n`;
    }),
  );
  const asked = kind === 'Packages' ? await askPackages(env) : await askSources(env, indices);
  if (asked === null) {
    if (indices.length === 1) return [null];
    const half = Math.ceil(indices.length / 2);
    return [
      ...(await aptAsksFor(root, kind, indices.slice(0, half))),
      ...(await aptAsksFor(root, kind, indices.slice(half))),
    ];
  }
  const found = indices.map((): Asked[] => []);
  for (const [, at, path, size, hash] of asked.matchAll(
    /^'http:\/\/127\.0\.0\.1:9\/(\d+)\/(.*)' \S* (\d+) (\S*)$/gm,
  ))
    found[Number(at)]!.push({ path: path!, size: size!, hash: hash! });
  return found;
}

async function askPackages(env: NodeJS.ProcessEnv): Promise<string | null> {
  const { output, failed } = await run('apt-cache', ['dump'], env);
  if (failed) return null;
  const wanted: string[] = [];
  let name = '';
  for (const line of output.split('\n')) {
    const [, field, value] = /^(Package| Version): ([a-zA-Z0-9.+:~-]+)$/.exec(line) ?? [];
    if (field === 'Package') name = value!;
    else if (field !== undefined && name !== '') wanted.push(`${name}=${value}`);
    else if (line.startsWith('Package:')) name = '';
  }
  if (wanted.length === 0) return '';
  return (await run('apt-get', ['download', '--print-uris', ...wanted], env)).output;
}

/** One command for all would stop at the first source package that it cannot fetch. */
async function askSources(
  env: NodeJS.ProcessEnv,
  indices: readonly Uint8Array[],
): Promise<string | null> {
  const names = indices.flatMap((index) =>
    [
      ...Buffer.from(index)
        .toString('latin1')
        .matchAll(/^Package: ([a-z0-9.+-]+)$/gm),
    ].map(([, name]) => name!),
  );
  const outputs: string[] = [];
  for (const name of new Set(names)) {
    const { output, failed } = await run('apt-get', ['source', '--print-uris', name], env);
    if (failed && names.length === 1) return null;
    outputs.push(output);
  }
  return outputs.join('');
}

function write(root: string, path: string, bytes: Uint8Array | string | null): void {
  if (bytes === null) return;
  mkdirSync(join(root, path, '..'), { recursive: true });
  writeFileSync(join(root, path), bytes);
}

/** @returns the environment of an apt that reads and writes below `root` only */
function prepare(root: string, sources: readonly string[]): NodeJS.ProcessEnv {
  for (const place of ['etc/parts', 'etc/preferences.d', 'lists/partial', 'cache/archives/partial'])
    mkdirSync(join(root, place), { recursive: true });
  write(root, 'etc/sources.list', sources.join(''));
  write(root, 'status', '');
  write(
    root,
    'apt.conf',
    `Dir "${root}"; Dir::Etc "${root}/etc"; Dir::Etc::main "apt.conf";
Dir::Etc::parts "${root}/etc/parts"; Dir::Etc::sourceparts "${root}/etc/parts";
Dir::Etc::trustedparts "${root}/etc/parts"; Dir::State "${root}"; Dir::State::lists "${root}/lists";
Dir::State::status "${root}/status"; Dir::Cache "${root}/cache";
Dir::Bin::methods "/usr/lib/apt/methods"; APT::Architecture "amd64";
APT::Architectures { "amd64"; }; APT::Sandbox::User "root"; APT::Update::Error-Mode "any";
Acquire::Check-Date "true"; Acquire::Check-Valid-Until "true"; Acquire::Languages "none";\n`,
  );
  return { ...process.env, APT_CONFIG: join(root, 'apt.conf'), LC_ALL: 'C' };
}

const run = (
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<{ readonly output: string; readonly failed: boolean }> =>
  new Promise((resolve) => {
    execFile(command, args, { env, maxBuffer: Infinity }, (error, output) =>
      resolve({ output, failed: error !== null }),
    );
  });
