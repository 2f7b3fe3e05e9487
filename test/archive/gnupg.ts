/** GnuPG with a home of its own: keys and signatures that no line of ours had a part in. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const hasGnupg = (): boolean => spawnSync('gpg', ['--version']).status === 0;

export interface Gnupg {
  /**
   * A key that may sign, without a passphrase.
   * @param algorithm as `--quick-generate-key` takes it
   * @param expires the same: `20d`; never unless given
   */
  makeKey(name: string, algorithm: string, expires?: string): void;
  publicKeys(...names: string[]): Buffer;
  /** What gpg answers with when it is given these options and this text. */
  sign(text: string, ...options: string[]): Buffer;
  close(): void;
}

export function openGnupg(): Gnupg {
  const home = mkdtempSync(join(tmpdir(), 'debgeo-gpg-')); // short: a socket has 108 bytes
  const gpg = (args: readonly string[], input?: string): Buffer =>
    execFileSync(
      'gpg',
      [
        '--homedir',
        home,
        '--batch',
        '--quiet',
        '--no-permission-warning',
        '--pinentry-mode',
        'loopback',
        '--passphrase',
        '',
        ...args,
      ],
      {
        input,
        stdio: ['pipe', 'pipe', 'ignore'],
      },
    );
  return {
    makeKey: (name, algorithm, expires = 'never') =>
      void gpg([
        '--quick-generate-key',
        `${name} <${name}@example.org>`,
        algorithm,
        'sign',
        expires,
      ]),
    publicKeys: (...names) => gpg(['--export', ...names]),
    sign: (text, ...options) => gpg(['--output', '-', ...options], text),
    close() {
      spawnSync('gpgconf', ['--homedir', home, '--kill', 'all']);
      rmSync(home, { recursive: true, force: true });
    },
  };
}
