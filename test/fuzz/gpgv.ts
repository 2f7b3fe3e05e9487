/**
 * gpgv on many Release sets. It takes one signed file at a time; a shell starts it as fast as
 * anything can: 3 ms of processor time each, where a process started from here costs as much again.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { ReleaseSet } from '../../src/domain/snapshot.ts';
import { gpgvSays } from '../archive/trust-gpgv.ts';

const SHELLS = 2;
const LOOP = `
for file in "$@"; do
  read -r keyring < "$file.ring"
  signature=
  [ -e "$file.gpg" ] && signature="$file.gpg"
  gpgv --homedir . --keyring "$keyring" --status-fd 3 $signature "$file" \\
    3> "$file.status" > /dev/null 2>&1
done
exit 0`;

/** @returns whether gpgv, read as apt reads it, accepts each of them */
export async function gpgvJudges(
  folder: string,
  judged: readonly { readonly set: ReleaseSet; readonly keyring: string }[],
): Promise<readonly boolean[]> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const [index, { set, keyring }] of judged.entries()) {
    writeFileSync(join(folder, `${index}`), set.inRelease ?? set.release ?? '');
    writeFileSync(join(folder, `${index}.ring`), `${keyring}\n`);
    if (set.inRelease === null) writeFileSync(join(folder, `${index}.gpg`), set.releaseGpg ?? '');
  }
  await Promise.all(
    Array.from({ length: SHELLS }, (_, shell) =>
      start(
        folder,
        [...judged.keys()].filter((index) => index % SHELLS === shell),
      ),
    ),
  );
  return judged.map((_, index) =>
    gpgvSays(readFileSync(join(folder, `${index}.status`), 'latin1')),
  );
}

const start = (folder: string, indices: readonly number[]): Promise<void> =>
  new Promise((resolve, reject) => {
    const args = ['-c', LOOP, 'gpgv', ...indices.map(String)];
    execFile('bash', args, { cwd: folder }, (error) =>
      error === null ? resolve() : reject(error),
    );
  });
